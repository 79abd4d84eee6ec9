"""reports/solutions.ipynb: the assignment solved step by step."""
