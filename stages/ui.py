"""MLflow's pages in a browser: those of the store in this repository, or where its server is."""

import os
import sys

from stages.core.mirror.background import in_a_line
from stages.core.mirror.store import open_store, repository, tracking_uri
from stages.core.redaction import redacted


def main() -> None:
    """`python -m stages.ui`; MLFLOW_PORT says on which port of this machine (default: 5000)."""
    uri = tracking_uri()
    try:
        experiment = open_store().experiment
    except Exception as error:  # MLflow and its database raise without limit
        sys.exit(f"MLflow at {redacted(uri)}: {in_a_line(error)}")
    if uri.startswith(("http://", "https://")):
        print(f"The runs are at {runs_page(redacted(uri), experiment)}")
        return
    here = f"http://127.0.0.1:{os.environ.get('MLFLOW_PORT', '5000')}"
    print(f"The runs are at {runs_page(here, experiment)}", flush=True)
    artifacts = str(repository() / "mlartifacts")
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # a password in it is no argument that `ps` shows
    command = [sys.executable, "-m", "mlflow", "ui", "--artifacts-destination", artifacts, "--workers", "1"]
    os.execv(sys.executable, command)


def runs_page(address: str, experiment: str) -> str:
    """The list of an experiment's runs; MLflow's own first page is for prompts and agents."""
    return f"{address.rstrip('/')}/#/experiments/{experiment}/runs?workflowType=machine_learning"


if __name__ == "__main__":
    main()
