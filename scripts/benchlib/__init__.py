"""The parts of scripts/bench: heaps, inputs, programs, services, rounds, figures, reports, and the pages that show them."""
