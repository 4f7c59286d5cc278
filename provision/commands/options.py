"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import UsageError
from ..paths import default_environment
from ..records import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..typed import TypedMachine

F = TypeVar("F", bound="Callable[..., Any]")


def _stack(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


#: Read by the entry point before click sees it; declared so that --help shows it and click accepts it.
json_option = click.option("--json", "_json", is_flag=True, expose_value=False, help="One JSON document on stdout.")

require_gpu_option = click.option(
    "--require-gpu",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=1,
    default=None,
    metavar="[N]",
    help="Exit 3 when fewer than N GPUs are usable (N is 1 when left out).",
)


def environment_of(words: dict[str, Any]) -> Path:
    """The absolute path of the environment; a link at its end stays a link, because that is what gets switched."""
    if words["env"] is not None and not str(words["env"]).strip(" ."):
        raise UsageError(f"--env: found {str(words['env'])!r}, expected the path of the environment, such as ./env.")
    return Path(os.path.abspath(words["env"] or default_environment()))  # noqa: PTH100  Path.resolve follows the link


env_option = click.option(
    "--env",
    type=click.Path(path_type=Path),
    help="The environment [default: GPUSETUP_ENV, else env in the user's data folder].",
)

site_option = click.option(
    "--site",
    metavar="FILE",
    help="A site file: rows of the matrix that it adds, builds that it forbids; none for no file "
    "[default: GPUSETUP_SITE, else gpusetup/site.yaml in the user's configuration, else in /etc].",
)

torch_index_option = click.option(
    "--torch-index",
    envvar="GPUSETUP_TORCH_INDEX",
    metavar="URL",
    help="Base address of a mirror of PyTorch's wheel index; /cu126 and so on is added.",
)

request_options = _stack(
    click.option("--torch", metavar="SPEC", help="2.9 (any 2.9.*) or a specifier such as '>=2.6,<2.10'."),
    click.option("--cuda", metavar="SPEC", help="cu126, 12.6 or a specifier such as '<13'."),
    click.option("--transformers", metavar="SPEC", help="A specifier for transformers."),
    click.option("--python", metavar="X.Y", help="Python of the environment, 3.14t for free-threaded."),
    click.option(
        "--python-download",
        is_flag=True,
        help="A Python that is not on the machine may be used: uv fetches it when the environment is made.",
    ),
    click.option("--cpu", is_flag=True, help="A CPU environment, also where a GPU is."),
    require_gpu_option,
)

machine_options = _stack(
    click.option(
        "--from",
        "from_",
        metavar="FILE",
        help="A machine that is not this one: a machine document, or what nvidia-smi (also -q, -q -x, -L) or "
        "torch.utils.collect_env printed there; - is stdin. A folder of such files, or one document per line: a fleet.",
    ),
    click.option("--gpu", "gpus", multiple=True, metavar="NAME", help="Plan for this GPU; NAME*8 for eight."),
    click.option(
        "--driver", metavar="VERSION", help="Driver of the typed-in machine, or of --from where the file names none."
    ),
    click.option("--compute-capability", metavar="X.Y", help="For a GPU that the matrix does not know."),
    click.option(
        "--glibc", metavar="X.Y", help="glibc of the typed-in machine or, where the file names none, of --from."
    ),
    click.option("--arch", metavar="ARCH", help="x86_64 or aarch64."),
    click.option(
        "--os", "os_name", metavar="NAME", help="Such as 'ubuntu 22.04', windows, 'macos 14', wsl, 'jetpack 6.2'."
    ),
)


def require_writable(option: str, path: Path | None) -> None:
    """UsageError when a file of that option can't be written there: said before the work, not after it."""
    if path is None:
        return
    parent = Path(os.path.realpath(path)).parent
    if not str(path) or path.is_dir() or not os.access(parent, os.W_OK):
        raise UsageError(f"{option}: {path} can't be written; expected a file in a folder that exists and is writable.")


backend_option = click.option("--backend", type=click.Choice(["uv", "pip"]), default="uv", show_default=True)


def request_of(words: dict[str, Any]) -> Request:
    """The request that the shared options spell."""
    return Request(
        torch=words.get("torch"),
        cuda=words.get("cuda"),
        transformers=words.get("transformers"),
        python=words.get("python"),
        cpu=bool(words.get("cpu")),
        require_gpu=words.get("require_gpu") or 0,
        container=bool(words.get("container")),
        python_download=bool(words.get("python_download")),
    )


def typed_machine_of(words: dict[str, Any]) -> TypedMachine:
    """The typed-in machine that the shared options spell."""
    from ..typed import TypedMachine  # records that only --from and typed-in machines need

    return TypedMachine(
        gpus=tuple(words.get("gpus") or ()),
        driver=words.get("driver"),
        compute_capability=words.get("compute_capability"),
        python=words.get("python"),
        glibc=words.get("glibc"),
        arch=words.get("arch"),
        os=words.get("os_name"),
    )
