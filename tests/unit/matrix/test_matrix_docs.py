"""The examples of docs/matrix.md are read as they stand there."""

import re
import textwrap
from pathlib import Path

import pytest

from provision.matrix import default_matrix_path, load_matrix, read_matrix
from provision.versions import CudaVersion

PAGE = (Path(__file__).parents[3] / "docs" / "matrix.md").read_text(encoding="utf-8")
BLOCKS = [textwrap.dedent(block) for block in re.findall(r" *```yaml\n(.*?) *```", PAGE, flags=re.DOTALL)]
TOOLKIT, BRANCH, BUILD, SITE = BLOCKS


def test_the_next_cuda_release_is_three_lines():
    text = default_matrix_path().read_text(encoding="utf-8")
    *_, last_toolkit = re.finditer(r"^    13\.5\.\d+: .*\n", text, flags=re.MULTILINE)
    text = text[: last_toolkit.end()] + textwrap.indent(TOOLKIT, "    ") + text[last_toolkit.end() :]
    *_, last_branch = re.finditer(r"^    620: .*\n", text, flags=re.MULTILINE)
    text = text[: last_branch.end()] + textwrap.indent(BRANCH, "    ") + text[last_branch.end() :]
    at = text.index("        cu134: ", text.index("    2.15.0:\n"))
    text = text[:at] + textwrap.indent(BUILD, "        ") + text[at:]
    matrix = load_matrix(text, origin="m.yaml")
    assert matrix.branches[-1].cuda == matrix.toolkits[-1].cuda == CudaVersion(13, 6)
    assert matrix.release("2.15.0").variant("cu136").is_published("linux_x86_64") is None


def test_the_site_file_is_sound(tmp_path):
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    site = read_matrix(site=tmp_path / "site.yaml").site
    assert site.summary.endswith("1 row added, 1 row replaced, 3 entries that forbid builds.")


@pytest.mark.parametrize("name", re.findall(r"^\| `(\w+)", PAGE, flags=re.MULTILINE))
def test_every_block_of_the_table_is_in_the_file(name):
    assert f"\n{name}:" in default_matrix_path().read_text(encoding="utf-8")
