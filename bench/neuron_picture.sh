#!/bin/sh
# Draws the picture of docs/neurons.md: every kind of neuron reading the same step of current.
# Usage: bench/neuron_picture.sh [PROGRAM], from the source folder; PROGRAM is build/release/spikegpt by default.
set -e
exec "${1:-build/release/spikegpt}" neuron --kind all --current step:1.5 --tokens 60 --plot docs/images/neurons.svg
