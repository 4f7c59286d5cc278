"""Runs in the finished environment and reports what it sees: stdlib and old syntax only, no import of this package.

python -I probe.py REQUEST.json RESULT.json; the request is {"projects": [...], "kernel": bool}. Each fact is
{"value": ...} or {"failure": "..."}; the result file appears whole or not at all. stdout is never parsed.
"""

import importlib
import importlib.metadata
import json
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any


def attempt(read: Callable[[], Any]) -> dict[str, Any]:
    """What `read` returns, or why it could not."""
    try:
        return {"value": read()}
    except BaseException as err:  # noqa: BLE001 - an import of a broken package may raise anything, SystemExit too
        return {"failure": f"{type(err).__name__}: {str(err)[:2000]}"}


def distributions() -> list[list[str]]:
    """Name and version of everything in this environment's own site-packages."""
    folders = sorted({sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]})
    return sorted([found.metadata["Name"], found.version] for found in importlib.metadata.distributions(path=folders))


def torch() -> Any:
    """The module; imported once, later calls are free."""
    return importlib.import_module("torch")


def bert() -> str:
    """Import the class that the acceptance workload uses; transformers hides it when it rejects the torch it finds."""
    module = importlib.import_module("transformers")
    found = module.BertForSequenceClassification
    # Without a usable torch transformers hands out a stand-in class that raises when it is used.
    if "dummy" in found.__module__:
        raise ImportError("transformers does not accept this torch and hides its models")
    return str(module.__version__)


def kernel() -> int:
    """Run one multiplication on every GPU and check its result on the CPU."""
    lib = torch()
    for index in range(lib.cuda.device_count()):
        ones = lib.ones((64, 64), device=f"cuda:{index}")
        if float((ones @ ones).sum().cpu()) != 64.0**3:
            raise ArithmeticError(f"GPU {index} computed a wrong product")
    return int(lib.cuda.device_count())


def main() -> None:
    """Read the request, look at each fact, write the result."""
    request = json.loads(Path(sys.argv[1]).read_text())
    projects = request["projects"]
    result = {"python": {"value": sys.version.split()[0]}, "distributions": attempt(distributions)}
    if "torch" in projects:
        result["torch-version"] = attempt(lambda: str(torch().__version__))
        result["torch-cuda-version"] = attempt(lambda: torch().version.cuda)
        # torch.cuda.get_arch_list() is empty where no GPU can be used; the list inside the library is not.
        result["torch-arch-list"] = attempt(lambda: torch()._C._cuda_getArchFlags())  # noqa: PLW0108, SLF001
    if "numpy" in projects and "torch" in projects:
        result["numpy-bridge"] = attempt(lambda: int(torch().ones(1).numpy()[0]))
    if "transformers" in projects:
        result["transformers-bert"] = attempt(bert)
    if request["kernel"]:
        result["cuda-kernel"] = attempt(kernel)
    part = Path(sys.argv[2] + ".part")
    part.write_text(json.dumps(result))
    part.replace(sys.argv[2])


if __name__ == "__main__":
    main()
