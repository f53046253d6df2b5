#!/bin/bash
# Ray: with RAY_ADDRESS, on that cluster, whose nodes have bcos-eval[ray] and see the folder of results; without, a
# Ray of this run's own on this machine.
set -euo pipefail
if [ $# -eq 0 ]; then set -- --model bcos_resnet50,resnet50 --metric grid_pg,energy_pg; fi
exec bcos-eval run "$@" --executor ray --workers "${WORKERS:-2}" ${RAY_ADDRESS:+--address "$RAY_ADDRESS"} --out "${OUT:-runs}"
