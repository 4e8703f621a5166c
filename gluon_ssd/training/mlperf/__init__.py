"""MLPerf: which rules a training falls under, the log they ask for, and their compliance checker."""
