from __future__ import annotations

import torch
from bcos.modules.losses import UniformOffLabelsBCEWithLogitsLoss

from bcos_eval.training.losses import bce_with_off_labels


def test_loss_equals_the_official_one():
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 2])
    torch.testing.assert_close(
        bce_with_off_labels(logits, labels), UniformOffLabelsBCEWithLogitsLoss()(logits, labels)
    )
