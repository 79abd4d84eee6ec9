"""Write the table: 178 wines, 13 measurements of each, and which of three growers made it."""

from pathlib import Path

from sklearn.datasets import load_wine

Path("data").mkdir(exist_ok=True)
load_wine(as_frame=True).frame.to_csv("data/wine.csv", index=False)
