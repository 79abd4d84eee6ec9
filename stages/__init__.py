"""The stages of the pipeline, one module each, run as `python -m stages.<name>`.

Importing the package prepares the process, before a stage imports its libraries.
"""

from descent import startup

startup.prepare(stage=True)
