"""Site files: rows added and replaced with their sources, builds forbidden with a reason, faults named with their line."""
# ruff: noqa: E501  cases stand on one line each

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_mini import MINI

from provision.errors import ExitCode, InputError
from provision.matrix import load
from provision.matrix.load import default_matrix, read_matrix
from provision.matrix.site import ban_of
from provision.paths import site_file
from provision.versions import CudaVersion

HEAD = "schema: gpusetup.site/1\nsources: {lab: list of the lab}\n"
ROW = "source: [lab], read_on: 2026-11-20"
BRANCH = "type: PB, released: null, eol: null, latest_linux: null, latest_windows: null"
RELEASE = """\
torch:
  releases:
    2.9.5:
      released: 2026-01-02
      platforms:
        linux_x86_64: {pythons: [cp312], glibc: 2.28, tag: linux_x86_64, general_tag: linux_x86_64, general_variant: null}
      variants:
        cu128: {toolkit: 12.8.1, on: [linux_x86_64], arch: {linux_x86_64: [sm_90]}, ptx: [], cudnn: null, nccl: null, source: [lab]}
      companions: {torchvision: 0.24.0, torchaudio: 2.9.0, triton: 3.5.0, transformers: ">=4.48,<6"}
      source: [lab]
      read_on: 2026-11-20
"""
VARIANT = "torch: {releases: {2.9.0: {variants: {cu130: {toolkit: 13.0.0, on: [linux_x86_64], arch: {linux_x86_64: [sm_90]}, ptx: [], cudnn: null, nccl: null, source: [lab, wheels], read_on: 2026-11-20}}}}}\n"
GPU = "architecture: Hopper, capability: 9.0, class: data_center, pci: [], tflops: {}"


@pytest.fixture
def laid(tmp_path, monkeypatch):
    """The small matrix under a site file of that text."""
    (tmp_path / "m.yaml").write_text(MINI)
    monkeypatch.chdir(tmp_path)

    def lay(text):
        (tmp_path / "site.yaml").write_text(HEAD + text)
        return read_matrix(load.Path("m.yaml"), site=load.Path("site.yaml"))

    return lay


def refusal(laid, text):
    with pytest.raises(InputError) as caught:
        laid(text)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    return caught.value.happened


def test_a_release_of_the_site_stands_in_its_place(laid):
    matrix = laid(RELEASE)
    assert [row.version for row in matrix.releases] == ["2.9.0", "2.9.5", "2.10.0"]
    assert matrix.release("2.9.5").source == ("lab",)
    assert matrix.release("2.9.5").platform("linux_x86_64").general_variant is None
    assert matrix.place_of_build("2.9.5", "cu128") == "site.yaml: torch.releases['2.9.5'].variants.cu128"
    assert matrix.place_of_build("2.9.0", "cu128") == "matrix.yaml: torch.releases['2.9.0'].variants.cu128"
    assert ("lab", "list of the lab") in matrix.sources


def test_a_release_of_the_matrix_gets_builds_of_the_site(laid):
    matrix = laid(VARIANT)
    assert [row.name for row in matrix.release("2.9.0").variants] == ["cu128", "cu130"]
    assert matrix.release("2.9.0").read_on == "2026-11-23"
    assert matrix.site.owns("torch", "releases", "2.9.0", "variants", "cu130")
    assert not matrix.site.owns("torch", "releases", "2.9.0", "variants", "cu128")


def test_rows_of_every_table(laid):
    matrix = laid(
        f"gpus: {{rows: {{LAB: {{nvml: [NVIDIA LAB], {GPU}, {ROW}}}, A16: {{replace: true, nvml: [NVIDIA A16 X], architecture: Ampere, capability: 8.6, class: workstation, pci: [], tflops: {{}}, {ROW}}}}}}}\n"
        f"driver_branches: {{rows: {{575: {{cuda: 12.9, {BRANCH}, {ROW}}}}}}}\n"
        f"cuda_majors: {{rows: {{11: {{linux: 450.80.02, windows: 452.39, {ROW}}}}}}}\n"
        f"cuda_toolkits: {{rows: {{12.9.0: {{released: null, linux: null, windows: null, {ROW}}}}}}}\n"
        f"architectures: {{rows: {{Ada: {{capabilities: [8.9], first_branch: 520, last_branch: null, kernel_module: either, first_cuda: 11.8, last_cuda: null, {ROW}}}}}}}\n"
        f"cubins: {{rows: {{sm_89: {{at_least: 8.9, below: 9.0, {ROW}}}}}}}\n"
        f"transformers: {{rows: {{4.30.0: {{last: 4.30.2, python: 3.7, torch: null, {ROW}}}}}}}\n"
    )
    assert matrix.gpu_by_name("LAB").source == ("lab",)
    assert [row.name for row in matrix.gpus] == ["A100-SXM4-40GB", "A16", "A2", "LAB"]
    assert matrix.gpu_by_name("A16").gpu_class == "workstation"
    assert [row.branch for row in matrix.branches] == [570, 575, 580]
    assert [row.major for row in matrix.cuda_majors] == [11, 12, 13]
    assert [row.cuda for row in matrix.toolkits] == [
        CudaVersion(12, 8),
        CudaVersion(12, 9),
        CudaVersion(12, 10),
        CudaVersion(13, 0),
    ]
    assert matrix.architectures[-1].name == "Ada"
    assert [row.first for row in matrix.transformers] == [(4, 30, 0), (4, 57, 1)]
    assert matrix.site.summary == "The site file site.yaml counts: 7 rows added, 1 row replaced."


def test_the_revision_names_the_file_by_its_digest(laid):
    one, other = laid("").revision, laid("# changed\n").revision
    assert one != other
    assert one.startswith("2026.11.23+site.")
    assert len(one.partition("+site.")[2]) == 8
    assert laid("").site.summary == "The site file site.yaml counts: it changes nothing."


FAULTS = [
    ("schema: 1\n", "site.yaml: line 3, column 1: found repeated key 'schema', expected each key once"),
    ("prefer: 1\n", "site.yaml: prefer (line 3): found unknown key 'prefer', expected one of accelerate, architectures, chips, cubins, cuda_majors, cuda_toolkits, driver_branches, forbid, forward_compatibility, gpus, peft, schema, sources, torch, transformers"),
    ("forbid: {}\n", "site.yaml: forbid (line 3): found a mapping with 0 keys, expected a list"),
    ("forbid:\n- torch: 2.9\n", "site.yaml: forbid[0] (line 4): found no key 'reason', expected the key reason"),
    ("forbid:\n- torch: 2.9\n  reason: ''\n", "site.yaml: forbid[0].reason (line 5): found '', expected text"),
    ("forbid:\n- reason: so\n", "site.yaml: forbid[0] (line 4): found an entry that names nothing, expected one of torch, variant, driver, python"),
    ("forbid:\n- {torch: new, reason: so}\n", "site.yaml: forbid[0].torch (line 4): found 'new', expected releases such as 2.9 or >=2.10,<2.12"),
    ("forbid:\n- {torch: '>=2.9,', reason: so}\n", "site.yaml: forbid[0].torch (line 4): found '>=2.9,', expected releases such as 2.9 or >=2.10,<2.12"),
    ("forbid:\n- {variant: 'CU*', reason: so}\n", "site.yaml: forbid[0].variant (line 4): found 'CU*', expected a variant such as cu128, or a pattern such as cu13*"),
    ("forbid:\n- {driver: R580, reason: so}\n", "site.yaml: forbid[0].driver (line 4): found 'R580', expected driver branches such as 590 or >=535,<570"),
    ("forbid:\n- {python: cp312, reason: so}\n", "site.yaml: forbid[0].python (line 4): found 'cp312', expected a Python such as 3.14, 3.14t or >=3.13"),
    ("forbid:\n- {image: x, reason: so}\n", "site.yaml: forbid[0].image (line 4): found unknown key 'image', expected one of driver, python, reason, torch, variant"),
    (f"gpus: {{rows: {{A16: {{nvml: [], {GPU}, {ROW}}}}}}}\n", "site.yaml: gpus.rows.A16 (line 3): found a row that the matrix has, expected `replace: true` in it, or another key"),
    (f"gpus: {{rows: {{B16: {{replace: true, nvml: [], {GPU}, {ROW}}}}}}}\n", "site.yaml: gpus.rows.B16.replace (line 3): found `replace: true`, expected a row that the matrix has"),
    (f"gpus: {{rows: {{B16: {{replace: no, nvml: [], {GPU}, {ROW}}}}}}}\n", "site.yaml: gpus.rows.B16.replace (line 3): found 'no', expected one of true"),
    (f"gpus: {{rows: {{B16: {{nvml: [], {GPU}, source: [lab]}}}}}}\n", "site.yaml: gpus.rows.B16 (line 3): found no key 'read_on', expected the key read_on"),
    (f"gpus: {{rows: {{B16: {{nvml: [], {GPU}, read_on: 2026-11-20}}}}}}\n", "site.yaml: gpus.rows.B16 (line 3): found no key 'source', expected the key source"),
    (f"gpus: {{rows: {{B16: {{nvml: [], {GPU}, source: [], read_on: 2026-11-20}}}}}}\n", "site.yaml: gpus.rows.B16.source (line 3): found a list of 0, expected at least one key of `sources`"),
    (f"gpus: {{rows: {{B16: {{nvml: [], {GPU}, source: [gossip], read_on: 2026-11-20}}}}}}\n", "site.yaml: gpus.rows.B16.source[0] (line 3): found 'gossip', expected a key of `sources`, here or in the matrix"),
    (f"gpus: {{rows: {{B16: {{nvml: [], {GPU}, source: [lab], read_on: soon}}}}}}\n", "site.yaml: gpus.rows.B16.read_on (line 3): found 'soon', expected a date such as 2026-11-23"),
    (f"gpus: {{rows: {{B16: {{nvml: [], colour: red, {GPU}, {ROW}}}}}}}\n", "site.yaml: gpus.rows.B16.colour (line 3): found unknown key 'colour', expected one of architecture, bandwidth, capability, class, doubtful, ecc, fabric_manager, form, memory_gib, memory_mib, note, nvlink, nvlinks, nvml, pci, pcie, source, subsystem, tdp_w, tflops"),
    (f"gpus: {{rows: {{B16: {{nvml: [NVIDIA A16], {GPU}, {ROW}}}}}}}\n", "site.yaml: gpus.rows.B16.nvml[0] (line 3): found 'NVIDIA A16', already of A16, expected each name once"),
    ("gpus: {rows: {B16: 1}}\n", "site.yaml: gpus.rows.B16 (line 3): found '1', expected a mapping"),
    ("gpus: {rows: {}, read_on: 2026-11-20}\n", "site.yaml: gpus.read_on (line 3): found unknown key 'read_on', expected one of rows"),
    ("torch: {index: x, releases: {}}\n", "site.yaml: torch.index (line 3): found unknown key 'index', expected one of releases"),
    (f"driver_branches: {{rows: {{575: {{cuda: 12.6, {BRANCH}, {ROW}}}}}}}\n", "site.yaml: driver_branches.rows['575'] (line 3): found branch 575 with CUDA 12.6 after 570 with 12.8, expected both ascending"),
    (f"driver_branches: {{rows: {{575: {{cuda: 13.1, {BRANCH}, {ROW}}}}}}}\n", "site.yaml: its rows beside driver_branches.rows['580'] of m.yaml: found branch 580 with CUDA 13.0 after 575 with 13.1, expected both ascending"),
    (f"driver_branches: {{rows: {{R575: {{cuda: 12.9, {BRANCH}, {ROW}}}}}}}\n", "site.yaml: driver_branches.rows.R575 (line 3): found 'R575', expected a whole number above 0"),
    (VARIANT.replace("cu130:", "cu128:"), "site.yaml: torch.releases['2.9.0'].variants.cu128 (line 3): found a row that the matrix has, expected `replace: true` in it, or another key"),
    (VARIANT.replace("sm_90", "sm_91"), "site.yaml: torch.releases['2.9.0'].variants.cu130.arch.linux_x86_64[0] (line 3): found code for 9.1, expected code of a known architecture with a row in cubins"),
    (RELEASE.replace("2.9.5", "2.9.0"), "site.yaml: torch.releases['2.9.0'] (line 6): found a row that the matrix has, expected `replace: true` in it, or another key"),
    (RELEASE.replace("      read_on: 2026-11-20\n", ""), "site.yaml: torch.releases['2.9.5'] (line 6): found no key 'read_on', expected the key read_on"),
    (RELEASE.replace("general_variant: null", "general_variant: cu130"), "site.yaml: torch.releases['2.9.5'].platforms.linux_x86_64.general_variant (line 8): found 'cu130', expected a variant of this release that is published for the platform"),
    ("forbid: &a []\n", "site.yaml: line 3, column 9: found anchor &a, expected no anchor: they are not used here"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_named_with_its_line(text, message, laid):
    assert refusal(laid, text) == message


def test_a_source_of_the_matrix_is_not_renamed(tmp_path, laid):
    laid("")
    (tmp_path / "site.yaml").write_text("schema: gpusetup.site/1\nsources:\n  notes: ours\n")
    with pytest.raises(
        InputError, match=r"sources.notes \(line 3\): found a key that the matrix has, expected another"
    ):
        read_matrix(load.Path("m.yaml"), site=load.Path("site.yaml"))


def test_the_whole_release_is_replaced_on_request(laid):
    text = RELEASE.replace("2.9.5:\n", "2.9.0:\n      replace: true\n")
    matrix = laid(text)
    assert [row.version for row in matrix.releases] == ["2.9.0", "2.10.0"]
    assert matrix.release("2.9.0").released == "2026-01-02"
    assert matrix.site.rows[0].is_replacement
    assert matrix.site.rows[0].line == 6


@pytest.mark.parametrize(
    ("entry", "meant", "not_meant"),
    [
        ({"torch": "2.9"}, ["2.9.0 cu128", "2.9.1 cpu"], ["2.10.0 cu128"]),
        ({"torch": "==2.9"}, ["2.9.0 cu128"], ["2.9.1 cu128"]),
        ({"torch": ">=2.10,<2.12"}, ["2.10.0 cpu", "2.11.9 cu130"], ["2.9.1 cpu", "2.12.0 cpu"]),
        ({"torch": "!=2.9.1"}, ["2.9.0 cpu"], ["2.9.1 cpu"]),
        ({"torch": "> 2.9.0, <= 2.9.2"}, ["2.9.1 cpu", "2.9.2 cpu"], ["2.9.0 cpu", "2.9.3 cpu"]),
        ({"variant": "cu13*"}, ["2.9.0 cu130", "2.15.0 cu134"], ["2.9.0 cu128", "2.9.0 cpu"]),
        ({"variant": "cpu"}, ["2.9.0 cpu"], ["2.9.0 cu128"]),
        ({"torch": "2.9", "variant": "cu12?"}, ["2.9.0 cu128"], ["2.9.0 cu130", "2.10.0 cu128"]),
    ],
)
def test_what_an_entry_means(entry, meant, not_meant):
    ban = ban_of({**entry, "reason": "so"}, place="f:1")

    def forbids(build):
        release, variant = build.split()
        return ban.forbids(tuple(map(int, release.split("."))), variant, branch=None, python=None)

    assert [forbids(build) for build in (*meant, *not_meant)] == [True] * len(meant) + [False] * len(not_meant)


@pytest.mark.parametrize(
    ("driver", "meant", "not_meant"),
    [("580", [580], [570, 590, None]), (">=535,<570", [535, 550], [530, 570, None]), ("!=580", [570], [580, None])],
)
def test_an_entry_for_drivers(driver, meant, not_meant):
    ban = ban_of({"driver": driver, "reason": "so"}, place="f:1")
    assert all(ban.forbids((2, 9, 0), "cu128", branch=branch, python=None) for branch in meant)
    assert not any(ban.forbids((2, 9, 0), "cu128", branch=branch, python=None) for branch in not_meant)


@pytest.mark.parametrize(
    ("python", "meant", "not_meant"),
    [("3.14", ["3.14", "3.14t"], ["3.13", "pypy3.14"]), ("3.14t", ["3.14t"], ["3.14"]), (">=3.13", ["3.13", "3.14t"], ["3.9", "3.12"])],
)  # fmt: skip
def test_an_entry_for_pythons(python, meant, not_meant):
    ban = ban_of({"python": python, "reason": "so"}, place="f:1")
    assert all(ban.forbids((2, 9, 0), "cpu", branch=None, python=other) for other in meant)
    assert not any(ban.forbids((2, 9, 0), "cpu", branch=None, python=other) for other in [*not_meant, None])


def test_a_hit_with_a_site_file_equals_a_miss(tmp_path, laid, monkeypatch):
    laid(RELEASE + "forbid:\n- {torch: 2.10, driver: '>=580', python: '3.13', reason: so}\n")
    monkeypatch.setattr(load, "default_matrix_path", lambda: tmp_path / "m.yaml")
    folder, site = tmp_path / "cache", load.Path("site.yaml")
    miss = default_matrix(folder, site=site)
    plain = default_matrix(folder)
    assert len(list((folder / "matrix").iterdir())) == 2
    monkeypatch.setattr(load, "_checked", None)
    hit = default_matrix(folder, site=site)
    assert (hit.revision, hit.site.summary) == (miss.revision, miss.site.summary)
    assert [row.version for row in hit.releases] == ["2.9.0", "2.9.5", "2.10.0"]
    assert [(str(ban), ban.reason, ban.place) for ban in hit.site.bans] == [
        ("torch 2.10, driver >=580, Python 3.13", "so", "site.yaml:15")
    ]
    assert [(row.path, row.line, row.is_replacement) for row in hit.site.rows] == [
        (("torch", "releases", "2.9.5"), 6, False)
    ]
    assert plain.site is None
    (tmp_path / "site.yaml").write_text(HEAD + "forbid: 1\n")
    with pytest.raises(TypeError):  # the changed file is another key: it is read, which the line above forbids
        default_matrix(folder, site=site)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "large", "bytes"])
def test_a_file_that_cannot_be_read_is_an_input_error(kind, tmp_path):
    path = tmp_path / "site.yaml"
    {
        "missing": lambda: None,
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "large": lambda: path.write_text("#" * 300_000),
        "bytes": lambda: path.write_bytes(b"\xff\xfe\xfd"),
    }[kind]()
    with pytest.raises(InputError) as caught:
        read_matrix(site=path)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert str(path) in caught.value.happened


def test_which_site_file_counts(tmp_path, monkeypatch):
    own, shared = tmp_path / "gpusetup" / "site.yaml", tmp_path / "etc.yaml"
    monkeypatch.setattr("provision.paths.SITE_FILE", shared)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("GPUSETUP_SITE")
    assert site_file(None) is None
    shared.write_text("")
    assert site_file(None) == shared
    own.parent.mkdir()
    own.symlink_to(tmp_path / "nowhere")  # it is there and can't be read: said, not passed over
    assert site_file(None) == own
    monkeypatch.setenv("GPUSETUP_SITE", "other.yaml")
    assert str(site_file(None)) == "other.yaml"
    assert str(site_file("mine.yaml")) == "mine.yaml"
    assert site_file("none") is None
    monkeypatch.setenv("GPUSETUP_SITE", "none")
    assert site_file(None) is None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_is_wrong_is_an_input_error(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    base, site = folder / "m.yaml", folder / "site.yaml"
    text = (
        HEAD
        + RELEASE
        + f"forbid:\n- {{torch: 2.9, reason: so}}\ngpus: {{rows: {{A16: {{replace: true, nvml: [], {GPU}, {ROW}}}}}}}\n"
    )
    start = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 30))
    rubbish = data.draw(
        st.sampled_from(["", "null", "[]", "{}", "- -", ": :", "&a", "*a", "9" * 20, "é", "2.9.0", "true", "a: 1"])
    )
    base.write_text(MINI)
    site.write_text(text[:start] + rubbish + text[start + length :])
    try:
        read_matrix(base, site=site)
    except InputError as err:
        assert err.happened.startswith(f"{site}: ")  # noqa: PT017  both ends are right
