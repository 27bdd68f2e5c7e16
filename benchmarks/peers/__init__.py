"""The engines we are compared with. Each has a runner with the modes of ``benchmarks.ours``, in a venv of its own."""
