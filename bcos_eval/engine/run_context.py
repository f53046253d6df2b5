"""The models, data and pools of a run, loaded when they are first needed and kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from bcos_eval.contract.explained_model import Memory
from bcos_eval.contract.network import Network
from bcos_eval.contract.network_state import NetworkState
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.data import Dataset, load_dataset
from bcos_eval.data.classes import RelabelledDataset, has_class_names, in_classes_of
from bcos_eval.data.photos import PhotosDataset, PredictedPhotos, predicted_labels
from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.errors import IncompatibleError, InputError
from bcos_eval.models import load_model
from bcos_eval.seeding import derived_generator
from bcos_eval.stimuli import Material, StimulusKind, StimulusSource, Unreadable
from bcos_eval.stimuli.pool import GrowingPool
from bcos_eval.store.claims import Claims
from bcos_eval.store.pools import POOLS_FOLDER
from bcos_eval.user_code.model import load_user_model
from bcos_eval.user_code.network import choose_device

from .failures import Failures
from .kept_maps import KeptMaps
from .progress import Progress
from .request import RunRequest
from .soundness import unsoundness

# Images of noise that a network of the user's own is tried with.
_N_TRIED = 3

R = TypeVar("R")


class RunContext:
    """Everything that computing a shard takes.

    Args:
        request: What was asked for.
        root: The folder of the run, where pools are kept.
        progress: Where passes over the data are shown.
        networks: Models that are given and not loaded by name.
        dataset: A dataset that is given and not loaded by name.
    """

    def __init__(
        self,
        request: RunRequest,
        root: Path,
        progress: Progress,
        *,
        networks: Mapping[str, Network] | None = None,
        dataset: Dataset | None = None,
    ) -> None:
        self.request = request
        self.root = root
        self.progress = progress
        self.claims = Claims(root)
        self.n_tasks = self.n_lost_tasks = 0
        self.resources = ExitStack()
        self._kept: dict[object, Any] = {}
        self.failures = Failures(root, progress, request.fail_fast, request.unit_timeout)
        self.device = choose_device(request.device)
        self._given_dataset = dataset
        self._networks: dict[str, Network] = dict(networks or {})
        self._relabelled: dict[tuple[tuple[str, ...], int], Dataset] = {}
        self._datasets: dict[EvaluationTransform, Dataset] = {}
        self._photos: dict[str, Dataset] = {}
        self._pools: dict[str, GrowingPool] = {}
        self._taken: set[tuple[str, StimulusKind]] = set()
        self._sources: dict[tuple[str, StimulusKind], StimulusSource] = {}
        self._sound = set(request.models) - set(request.model_files) - set(self._networks)
        self._states: dict[str, NetworkState] = {}
        self._memories: dict[str, Memory] = {}
        self._kept_maps: dict[str, KeptMaps] = {}
        self._last_read: tuple[object, list[Stimulus | Unreadable]] = (None, [])

    def kept(self, make: Callable[[RunContext], AbstractContextManager[R]]) -> R:
        """Return what a context manager enters, once and until `resources` are closed: workers, for example."""
        if make not in self._kept:
            self._kept[make] = self.resources.enter_context(make(self))
        return cast("R", self._kept[make])

    def network(self, name: str) -> Network:
        """Return a model on the run's device.

        Raises:
            InputError: If it cannot be loaded.
        """
        if name not in self._networks:
            self._networks[name] = self._load(name)
        return self._networks[name]

    def require_sound(self, model: str) -> None:
        """Refuse a network of the user's own that no score can be trusted of; the suite's are known to be sound.

        Raises:
            IncompatibleError: If it draws at random, keeps a state, mixes the images of a batch, or gives
                probabilities outside [0, 1].
        """
        if model in self._sound:
            return
        network, generator = self.network(model), torch.Generator().manual_seed(self.request.seed)
        images = torch.rand(_N_TRIED, 3, network.input_size, network.input_size, generator=generator)
        try:
            problem = unsoundness(network, images.to(self.device))
        except Exception:  # what raises on noise may do on photographs; their units will tell
            problem = None
        if problem is not None:
            raise IncompatibleError(f"model '{model}' {problem}")
        self._sound.add(model)

    def keep_state(self, model: str) -> None:
        """Remember a model as it is before a user's code can change it."""
        if model not in self._states:
            self._states[model] = NetworkState(self.network(model))

    def restore(self, model: str, culprit: str) -> None:
        """Put a model back to the state kept, and note what a user's code had changed."""
        changed = self._states[model].restore()
        if changed:
            self.progress.note(
                f"{culprit} left the network changed ({', '.join(changed)}); it was put back, so that no score "
                "depends on it."
            )

    def memory(self, model: str) -> Memory:
        """Return what a model said of pictures it was shown; methods and metrics share it."""
        return self._memories.setdefault(model, Memory())

    def kept_maps(self, model: str, kind: StimulusKind) -> KeptMaps | None:
        """Return the attributions that stimuli of a kind share with those of others; None if they share none."""
        return self._kept_maps.setdefault(model, KeptMaps()) if kind.shares_pictures else None

    def dataset(self, model: str) -> Dataset:
        """Return the dataset with images of the size that a model was made for, labelled with the model's logits.

        Classes are found by their names where the model has some; else their number has to be the same.

        Raises:
            InputError: If it cannot be loaded or has other classes than the model.
        """
        network = self.network(model)
        data = self._given_dataset or self._dataset_shown_by(EvaluationTransform.for_network(network))
        if isinstance(data, PhotosDataset):
            return self._predicted(model, data)
        names = tuple(getattr(network, "class_names", ()))
        if len(names) == network.num_classes and has_class_names(names):
            return self._in_classes_of(model, data, names)
        if len(data.class_names) != network.num_classes:
            raise InputError(
                f"model '{model}' tells {network.num_classes} classes apart and dataset '{data.name}' has "
                f"{len(data.class_names)}; use weights that were trained on this dataset."
            )
        return data

    def _in_classes_of(self, model: str, data: Dataset, names: tuple[str, ...]) -> Dataset:
        """Return a dataset labelled with a model's logits, without the images of classes that it does not know."""
        if (names, id(data)) in self._relabelled:
            return self._relabelled[names, id(data)]
        relabelled = in_classes_of(data, names)
        left = f"{len(relabelled)} of the {len(data)} images of dataset '{data.name}'"
        if any(tuple(other.sample_ids) != tuple(relabelled.sample_ids) for other in self._relabelled.values()):
            raise InputError(
                f"model '{model}' knows the classes of {left}, other models of the run those of others; choose a "
                "dataset whose classes they all know, or evaluate them in runs of their own."
            )
        if len(relabelled) < len(data):
            self.progress.note(
                f"model '{model}' knows {len(names)} of the {len(data.class_names)} classes of dataset "
                f"'{data.name}': it is evaluated on {left}, those of its classes."
            )
        self._relabelled[names, id(data)] = relabelled
        return relabelled

    def _predicted(self, model: str, photos: PhotosDataset) -> Dataset:
        """Return pictures labelled by a model, which looks at each of them once."""
        if model not in self._photos:
            network = self.network(model)
            names = tuple(getattr(network, "class_names", ())) or tuple(map(str, range(network.num_classes)))
            with self.progress.bar(f"{model} looks at all images", len(photos), "images") as bar:
                labels = predicted_labels(
                    photos, lambda images: network(network.encode(images.to(self.device))), bar.advance
                )
            self._photos[model] = PredictedPhotos(photos, labels, names)
        return self._photos[model]

    def require_data(self) -> None:
        """Refuse data that cannot be loaded, before any model is.

        Raises:
            InputError: If the dataset is unknown or its files are missing.
        """
        if self._given_dataset is None:
            load_dataset(self.request.dataset, self.request.data_dir)

    def pools(self) -> Mapping[str, GrowingPool]:
        """Return what models were asked about images so far, by model."""
        return self._pools

    def source(self, model: str, kind: StimulusKind) -> StimulusSource:
        """Return the stimuli of a kind that a model is shown.

        Raises:
            IncompatibleError: If no grid can be made of the images that the model is sure of.
        """
        if (model, kind) not in self._sources:
            self._sources[model, kind] = kind.source(self.material(model, kind))
        return self._sources[model, kind]

    def shuffled(self, model: str, kind: StimulusKind) -> Sequence[int] | None:
        """Return the order in which stimuli are taken, where that is not their own.

        A run that may stop early takes ranked stimuli in an order drawn at random, so that what it has seen stands
        for all of them.
        """
        if self.request.until is None or not kind.is_ranked:
            return None
        n_stimuli = len(self.source(model, kind))
        generator = derived_generator(self.request.seed, "until", n_stimuli)
        order: list[int] = torch.randperm(n_stimuli, generator=generator).tolist()
        return order

    def material(self, model: str, kind: StimulusKind) -> Material:
        """Return what the stimuli of a kind that a model is shown are made of."""
        names = self.request.models if kind.pools_all_models else (model,)
        dataset = self.dataset(model)
        return Material(
            dataset,
            self.request.n_samples,
            self.request.seed,
            pools=lambda: [self._pool(name) for name in names],
            own_labels=dataset.own_labels if isinstance(dataset, RelabelledDataset) else None,
        )

    def require_size(self, model: str, kind: StimulusKind) -> None:
        """Refuse a model that does not take the stimuli of a kind; it is tried once for each.

        Raises:
            IncompatibleError: If it does not.
        """
        if (model, kind) not in self._taken:
            kind.check_size(self.network(model), self.device)
            self._taken.add((model, kind))

    def stimuli(self, model: str, kind: StimulusKind, first: int, stop: int) -> list[Stimulus | Unreadable]:
        """Return some stimuli; the last ones are kept, since every method is shown the same."""
        asked = (model, kind, first, stop)
        if self._last_read[0] != asked:
            source, order = self.source(model, kind), self.shuffled(model, kind)
            ranges = [(first, stop)] if order is None else [(place, place + 1) for place in order[first:stop]]
            self._last_read = (asked, [entry for places in ranges for entry in source.read(*places)])
        return self._last_read[1]

    def _load(self, name: str) -> Network:
        request, weights = self.request, self.request.weights.get(name)
        if name not in request.model_files:
            # Photographs of nobody's classes are shown to networks that know ImageNet's.
            trained_on = "imagenet" if request.dataset == PhotosDataset.name else request.dataset
            return load_model(name, weights, trained_on, self.device)
        return load_user_model(
            request.model_files[name],
            weights=weights,
            image_side=lambda: (self._given_dataset or self._dataset_shown_by(EvaluationTransform()))[
                0
            ].image.shape[-1],
            device=self.device,
            note=self.progress.note,
        )

    def _dataset_shown_by(self, transform: EvaluationTransform) -> Dataset:
        if transform not in self._datasets:
            self._datasets[transform] = load_dataset(
                self.request.dataset, self.request.data_dir, transform=transform
            )
        return self._datasets[transform]

    def _pool(self, model: str) -> GrowingPool:
        if model not in self._pools:
            self._pools[model] = GrowingPool(
                self.network(model),
                self.dataset(model),
                self.root / POOLS_FOLDER,
                device=self.device,
                claims=self.claims,
                show=functools.partial(self._looking, model),
                note=self.progress.note,
            )
        return self._pools[model]

    @contextmanager
    def _looking(self, model: str, n_images: int) -> Iterator[Callable[[int], None]]:
        with self.progress.bar(f"{model} looks at images", n_images, "images") as bar:
            yield bar.advance
