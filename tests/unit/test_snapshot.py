"""Snapshots: what was seen comes back as it was, nothing secret is in them, and broken ones are refused."""

from __future__ import annotations

import json
import shutil

import pytest

from provision.checks import Context, Facts, run_checks
from provision.commands.machines import examined_from_bytes
from provision.detect.examine import gather
from provision.detect.memory import Recorder, scrubbed
from provision.detect.surroundings import Kernel, Surroundings
from provision.documents.codec import encode
from provision.documents.envelope import Outcome, document, dumps
from provision.errors import InputError
from provision.snapshot import redacted, snapshot_data, surroundings_of
from tests.bench import build

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)

SECRETS = ("hunter2", "s3cr3t-token", "AKIAIOSFODNN7", "/opt/only/in/a/variable")


def told(machine, now):
    results = run_checks(Facts(machine, Context(now=now)))
    return [(one.id, one.status, one.happened, one.evidence, one.safe, one.risky) for one in results]


def careless_box(folder, libraries):
    """A box made of real files, a real child process and the environment of a careless person."""
    tree = build.Tree(folder / "root")
    tree.os_release("ubuntu", "24.04")
    tree.pci("0000:07:00.0", "10de:20b2", driver="nvidia")
    tree.pci("0000:0a:00.0", "10de:20b2", driver="nvidia")
    tree.driver("550.90.07")
    tree.node("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm")
    tree.write("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 token=hunter2 quiet\n")
    tree.write("/etc/docker/daemon.json", '{"proxies": {"http-proxy": "http://me:hunter2@proxy:3128"}}')
    environ = build.environment(libraries, build.write_conf(folder / "box.conf", "a100x2"))
    environ |= {"SECRET": "hunter2", "HF_TOKEN": "s3cr3t-token", "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7"}
    environ |= {"CUDA_VISIBLE_DEVICES": "0", "HTTPS_PROXY": "http://me:hunter2@proxy:3128"}
    environ |= {"LD_PRELOAD": "", "CUDA_HOME": "/opt/only/in/a/variable", "NCCL_TOPO_FILE": "/opt/only/in/a/variable"}
    kernel = Kernel("Linux", "6.8.0-79-generic", "x86_64", "worker-17")
    return Surroundings(root=folder / "root", environ=environ, kernel=kernel, memory=Recorder())


@pytest.fixture
def live(tmp_path, fake_libraries):
    return careless_box(tmp_path, fake_libraries)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, fake_libraries):
    """The text of one snapshot, for the tests that break it."""
    around = careless_box(tmp_path_factory.mktemp("recorded"), fake_libraries)
    gather(around, "quick")
    return dumps(document(Outcome("gpusetup.snapshot/1", "snapshot", snapshot_data(around, "quick"))))


def test_replay_equals_live(live):
    machine = gather(live, "quick")
    data = json.loads(dumps(encode(snapshot_data(live, "quick"))))
    around, level = surroundings_of(data, where="box.json")
    again = gather(around, level)
    assert again == machine
    assert told(again, around.now) == told(machine, live.now)
    assert any(status not in ("skip", "unknown") for _, status, *_ in told(machine, live.now))


def test_a_snapshot_of_this_very_machine_replays_too():
    around = Surroundings()
    machine = gather(around, "quick")
    data = json.loads(dumps(encode(snapshot_data(around, "quick"))))
    other, level = surroundings_of(data, where="box.json")
    assert told(gather(other, level), other.now) == told(machine, around.now)


def test_nothing_secret_is_recorded(live):
    gather(live, "quick")
    text = dumps(encode(snapshot_data(live, "quick")))
    assert [secret for secret in SECRETS if secret in text] == []


def test_redaction_keeps_findings_and_removes_identities(live):
    machine = gather(live, "quick")
    data = redacted(snapshot_data(live, "quick"))
    text = dumps(encode(data))
    for gpu in machine.gpus:
        assert gpu.gpu_uuid not in text
    assert "worker-17" not in text
    around, level = surroundings_of(json.loads(text), where="box.json")
    again = gather(around, level)
    assert len({gpu.gpu_uuid for gpu in again.gpus}) == len(machine.gpus)
    assert [(one[0], one[1]) for one in told(again, around.now)] == [
        (one[0], one[1]) for one in told(machine, live.now)
    ]


def test_present_absent_and_unreadable_are_told_apart(live, tmp_path):
    locked = tmp_path / "root/proc/locked"
    locked.mkdir(parents=True)
    assert live.read("/proc/cmdline").state == "present"
    assert live.read("/proc/nothing").state == "absent"
    assert live.read("/proc/locked").state == "unreadable"  # a folder can't be read as a file
    looks = snapshot_data(live, "quick").looks["text"]
    assert [list(looks[f"/proc/{name}"]) for name in ("cmdline", "nothing", "locked")] == [
        ["present"],
        ["absent"],
        ["unreadable"],
    ]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://user:pa55@host/simple", "https://***@host/simple"),
        ("a token=abc b", "a token=*** b"),
        ('{"auth": "dXNlcjpwYXNz"}', '{"auth": ***}'),
        ("Authorization: Basic", "Authorization: ***"),
        ("nothing to hide", "nothing to hide"),
        ("a: b=c://d", "a: b=c://d"),
        ("MY_PASSWORD: x", "MY_PASSWORD: ***"),
        ("db.passwd = x", "db.passwd = ***"),
        ("apikey=x", "apikey=***"),
        ("API-Key: 'x y'", "API-Key: ***"),
        ("x_api_key=x", "x_api_key=***"),
        ("credential:x", "credential:***"),
        ('"Client_Secret" : "x y"', '"Client_Secret" : ***'),
        ("\u017fecret=x", "\u017fecret=***"),  # a long s is an s to whoever ignores case
        ("to\u212aen=x", "to\u212aen=***"),
        ("caf\u00e9 token=x", "caf\u00e9 token=***"),
    ],
)
def test_credentials_are_taken_out(text, clean):
    assert scrubbed(text) == clean


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("looks"), "data.looks: expected an object, found NoneType"),
        (lambda data: data["kernel"].pop("release"), "data.kernel.release: expected text"),
        (lambda data: data["looks"]["text"].update(x={"present": 3}), "data.looks.text.x: expected text, found int"),
        (
            lambda data: data["looks"]["text"].update(x={"gone": "y"}),
            "absent or unreadable, found 'gone'",
        ),
        (
            lambda data: data["looks"]["names"].update(x={"present": [1]}),
            "data.looks.names.x: expected a list of names",
        ),
        (
            lambda data: data["looks"].update(command={"x": {"present": {}}}),
            "data.looks.command.x.stdout: found NoneType",
        ),
    ],
)
def test_a_broken_snapshot_is_refused_with_its_place(recorded, change, said):
    value = json.loads(recorded)
    change(value["data"])
    with pytest.raises(InputError) as err:
        examined_from_bytes(dumps(value).encode(), None, origin="box.json")
    assert said in err.value.happened


def test_answers_of_any_form_end_in_an_error_and_not_in_a_traceback(recorded):
    odd = [None, 3, "x", [], {}, [[]], {"path": 3}, [1, 2], {"a": None}, True, [["a", "b", "c", "d", "e", "f"]]]
    raw = json.loads(recorded)
    for name in list(raw["data"]["looks"]["answer"]):
        for value in odd:
            answers = {**raw["data"]["looks"]["answer"], name: {"present": value}}
            broken = {**raw, "data": {**raw["data"], "looks": {**raw["data"]["looks"], "answer": answers}}}
            try:
                examined_from_bytes(json.dumps(broken).encode(), None, origin="box.json")
            except InputError:
                continue
