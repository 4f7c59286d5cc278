"""Sources as people configure them: logins, proxies, own authorities, mirrors of every kind; nothing secret leaks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import index as bench_index
import pytest
from authority import Authority
from install_orders import PYTHON, QUICK, TAG, build
from proxy import proxying

from provision.errors import GpusetupError
from provision.install import fetching
from provision.install.apply import Order, install
from provision.install.backends import uv_environment
from provision.install.configuration import read_configuration
from provision.records import Interpreter

CANARY = "c4n4ry/w0rd%"
IN_ADDRESS = "c4n4ry%2Fw0rd%25"
slow = pytest.mark.e2e
BACKENDS = ["uv", pytest.param("pip", marks=slow)]


def also(*values):
    """Cases like the first one, for the long run."""
    return [pytest.param(value, marks=slow) for value in values]


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("a certificate authority needs openssl")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user without any configuration of their own; caches are of no help."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / ".cache"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(folder / "none"))
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv("UV_NO_CONFIG")
    return folder


def ordered(tmp_path, backend="uv", **more):
    """An order out of nothing but the configuration of this process."""
    return Order(
        candidates=(build(),),
        plan_digest="plan",
        environment=tmp_path / "env",
        interpreters=(Interpreter(sys.version.split()[0], executable=sys.executable),),
        configuration=read_configuration(prefix=str(tmp_path / "prefix"), root=tmp_path / "root", **more),
        limits=QUICK,
        compile_bytecode=False,
        builtin=lambda: None,
        backend=backend,
    )


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def pip_conf(home, *lines):
    write(home / ".config/pip/pip.conf", "\n".join(("[global]", *lines)) + "\n")


# --- logins


def in_the_address(home, address, monkeypatch):
    base = address.replace("://", f"://robot:{IN_ADDRESS}@")
    pip_conf(home, f"index-url = {base}/general", f"extra-index-url = {base}/whl/cpu")


def in_netrc(home, address, monkeypatch):
    write(home / ".netrc", f"machine 127.0.0.1 login robot password {CANARY}\n")
    pip_conf(home, f"index-url = {address}/general", f"extra-index-url = {address}/whl/cpu")


def in_uv_variables(home, address, monkeypatch):
    monkeypatch.setenv("UV_INDEX", f"our-mirror={address}/whl/cpu")
    monkeypatch.setenv("UV_INDEX_OUR_MIRROR_USERNAME", "robot")
    monkeypatch.setenv("UV_INDEX_OUR_MIRROR_PASSWORD", CANARY)
    monkeypatch.setenv("UV_DEFAULT_INDEX", address.replace("://", f"://robot:{IN_ADDRESS}@") + "/general")


def in_uv_toml(home, address, monkeypatch):
    base = address.replace("://", f"://robot:{IN_ADDRESS}@")
    text = f'[[index]]\nurl = "{base}/general"\ndefault = true\n[[index]]\nname = "torch"\nurl = "{base}/whl/cpu"\n'
    write(home / ".config/uv/uv.toml", text)


def with_torch_index(home, address, monkeypatch):
    base = address.replace("://", f"://robot:{IN_ADDRESS}@")
    monkeypatch.setenv("PIP_INDEX_URL", f"{base}/general")
    monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{base}/whl")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("where", [in_netrc, in_uv_variables, *also(in_the_address, in_uv_toml, with_torch_index)])
def test_login(home, server, tmp_path, monkeypatch, where, backend):
    address, behaviour = server
    behaviour.login = ("robot", CANARY)
    where(home, address, monkeypatch)
    receipt = install(ordered(tmp_path, backend))
    assert ("torch", "2.4.1+cpu") in [(item.name, item.version) for item in receipt.distributions]
    assert_clean(tmp_path / ".env.gpusetup", home / ".cache", texts=(repr(receipt),))


def assert_clean(*folders, texts=()):
    """No spelling of the secret in any of these."""
    for spelling in (CANARY, IN_ADDRESS, "robot"):
        for text in texts:
            assert spelling not in text
        for folder in folders:
            for path in folder.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    assert spelling.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("backend", BACKENDS)
def test_login_does_not_travel_with_a_redirect(home, server, site, tmp_path, monkeypatch, backend):
    """The mirror sends everybody on to another place, pages and files."""
    address, behaviour = server
    with bench_index.serving(site) as (other, seen):
        behaviour.login = ("robot", CANARY)
        behaviour.faults["/"] = f"to {other}"
        with_torch_index(home, address, monkeypatch)
        receipt = install(ordered(tmp_path, backend))
        assert receipt.verified
        assert seen.requests
        assert set(seen.logins) == {None}
        assert any(login is not None for login in behaviour.logins)


# --- proxies


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("is_https", [True, *also(False)])
def test_proxy_with_a_login(home, site, authority, tmp_path, monkeypatch, backend, is_https):
    certificate = authority.sign("proxied") if is_https else None
    serving = bench_index.serving(site, certificate=certificate)
    with serving as (address, _), proxying(("robot", CANARY)) as (place, seen):
        lines = [f"index-url = {address}/general", f"proxy = http://robot:{IN_ADDRESS}@{place}"]
        pip_conf(home, *lines, *([f"cert = {authority.certificate}"] if is_https else []))
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        receipt = install(ordered(tmp_path, backend))
        assert receipt.verified
        assert len(seen.lines) > 3, "all of it went through the proxy"
        assert all(line.startswith("CONNECT ") for line in seen.lines) == is_https
    assert_clean(tmp_path / ".env.gpusetup", texts=(repr(receipt),))


@pytest.mark.parametrize("name", ["ALL_PROXY", *also("https_proxy", "HTTPS_PROXY")])
def test_proxy_of_the_environment(home, site, authority, tmp_path, monkeypatch, name):
    serving = bench_index.serving(site, certificate=authority.sign("environment"))
    with serving as (address, _), proxying(("robot", CANARY)) as (place, seen):
        pip_conf(home, f"index-url = {address}/general", f"cert = {authority.certificate}")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        monkeypatch.setenv(name, f"http://robot:{IN_ADDRESS}@{place}")
        receipt = install(ordered(tmp_path))
        assert all(line.startswith("CONNECT ") for line in seen.lines)
        assert len(seen.lines) > 3
    assert_clean(tmp_path / ".env.gpusetup", texts=(repr(receipt),))


@slow
def test_no_proxy_leaves_a_host_out(home, site, tmp_path, monkeypatch):
    with bench_index.serving(site) as (address, _), proxying() as (place, seen):
        pip_conf(home, f"index-url = {address}/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        monkeypatch.setenv("HTTP_PROXY", f"http://{place}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert install(ordered(tmp_path)).verified
        assert seen.lines == []


@pytest.mark.parametrize("is_https", [True, False])
def test_proxy_that_wants_another_login(home, site, authority, tmp_path, monkeypatch, is_https):
    certificate = authority.sign("refused") if is_https else None
    with bench_index.serving(site, certificate=certificate) as (address, seen), proxying(("me", "other")) as (place, _):
        pip_conf(home, f"index-url = {address}/general", f"proxy = http://robot:{IN_ADDRESS}@{place}")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        error = failure_of(ordered(tmp_path))
        assert (error.code, error.exit_code) == ("proxy-login", 4), error.evidence
        assert seen.requests == []


def failure_of(order):
    with pytest.raises(GpusetupError) as caught:
        install(order)
    error = caught.value
    assert_clean(texts=(error.happened, repr(error.evidence), repr(error.do)))
    return error


# --- certificates


def cert_of_pip(home, authority, monkeypatch):
    pip_conf(home, f"cert = {authority.certificate}")


def variable(name):
    def put(home, authority, monkeypatch):
        monkeypatch.setenv(name, str(authority.certificate))

    put.__name__ = name
    return put


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "where",
    [cert_of_pip, *also(variable("PIP_CERT"), variable("SSL_CERT_FILE")), variable("REQUESTS_CA_BUNDLE")],
)
def test_own_authority(home, site, authority, tmp_path, monkeypatch, where, backend):
    where(home, authority, monkeypatch)
    with bench_index.serving(site, certificate=authority.sign("good")) as (address, _):
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        assert install(ordered(tmp_path, backend)).verified


@pytest.mark.parametrize(
    ("environ", "has_store", "told"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"SSL_CERT_FILE": "/own.pem"}, True, False),
        ({"SSL_CERT_DIR": "/own"}, True, False),
        ({"REQUESTS_CA_BUNDLE": "/own.pem"}, True, False),
        ({"UV_NATIVE_TLS": "0"}, True, False),
        ({"PIP_CERT": "/own.pem"}, True, False),
    ],
)
def test_uv_is_told_to_trust_what_pip_would(home, environ, has_store, told):
    alone = {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}
    configuration = replace(read_configuration({**alone, **environ}), has_system_certificates=has_store)
    variables = uv_environment(environ, configuration, None)
    assert (variables.get("UV_SYSTEM_CERTS") == "1", variables.get("UV_NATIVE_TLS") == "1") == (told, told)
    assert ("SSL_CERT_FILE" in variables) == bool({"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"} & environ.keys())


def test_machine_without_a_store_has_pips_authorities(monkeypatch):
    nothing = ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    fetching._bundle_of_pip.cache_clear()
    assert (fetching._bundle_of_pip() or "").endswith("certifi/cacert.pem")
    fetching._bundle_of_pip.cache_clear()


def test_authority_of_pip_counts_beside_another_bundle_of_the_machine(home, site, authority, tmp_path, monkeypatch):
    """A machine-wide SSL_CERT_FILE must not hide what pip's configuration names for the index."""
    cert_of_pip(home, authority, monkeypatch)
    other = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(other.certificate))
    with bench_index.serving(site, certificate=authority.sign("beside")) as (address, _):
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        assert install(ordered(tmp_path)).verified


@slow
@pytest.mark.parametrize("backend", ["uv", "pip"])
def test_client_certificate(home, site, authority, tmp_path, monkeypatch, backend):
    mine = authority.sign("client")
    pip_conf(home, f"cert = {authority.certificate}", f"client-cert = {mine}")
    certificate = authority.sign("strict")
    with bench_index.serving(site, certificate=certificate, clients_of=authority.certificate) as (address, _):
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        assert install(ordered(tmp_path, backend)).verified


@slow
@pytest.mark.parametrize("backend", ["uv", "pip"])
def test_trusted_host(home, site, authority, tmp_path, monkeypatch, backend):
    with bench_index.serving(site, certificate=authority.sign("trusted")) as (address, _):
        pip_conf(home, f"index-url = {address}/general", "trusted-host = 127.0.0.1")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        assert install(ordered(tmp_path, backend)).verified


def test_authority_that_is_not_known(home, site, authority, tmp_path, monkeypatch):
    with bench_index.serving(site, certificate=authority.sign("unknown")) as (address, _):
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        error = failure_of(ordered(tmp_path))
        assert (error.code, error.exit_code) == ("source-not-trusted", 4)
        assert address in error.happened
        assert "PIP_CERT" in error.do[0]


def test_authority_that_only_the_resolver_meets(home, site, authority, tmp_path, monkeypatch):
    """torch's own source answers, so it is uv that finds the certificate of the general index wanting."""
    guarded = bench_index.serving(site, certificate=authority.sign("late"))
    with bench_index.serving(site) as (plain, _), guarded as (tls, _):
        monkeypatch.setenv("PIP_INDEX_URL", f"{tls}/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{plain}/whl")
        error = failure_of(ordered(tmp_path))
        assert (error.code, error.exit_code) == ("source-not-trusted", 5), error.evidence
        assert tls in error.happened


@pytest.mark.parametrize(
    ("valid", "date", "code"),
    [
        ((2100, 2120), None, "certificate-not-valid"),
        ((2100, 2120), "Tue, 01 Jun 2100 10:00:00 GMT", "clock-wrong"),
        ((2000, 2001), None, "certificate-not-valid"),
        ((2000, 2001), "Thu, 01 Jun 2000 10:00:00 GMT", "clock-wrong"),
    ],
)
def test_clock_and_certificate_disagree(home, site, authority, tmp_path, monkeypatch, valid, date, code):
    certificate = authority.sign(f"valid-{valid[0]}", *(f"{year}0101000000Z" for year in valid))
    monkeypatch.setenv("PIP_CERT", str(authority.certificate))
    with bench_index.serving(site, certificate=certificate) as (address, behaviour):
        behaviour.date = date
        monkeypatch.setenv("PIP_INDEX_URL", address.replace("://", f"://robot:{IN_ADDRESS}@") + "/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        error = failure_of(ordered(tmp_path))
        assert (error.code, error.exit_code) == (code, 4)
        assert set(behaviour.logins) == {None}, "the time is asked for without a login"
        if date:
            said = str(error.evidence[0].value)
            assert "that of the source 2" in said
            assert error.risky == ("sudo timedatectl set-ntp true",)


def test_clock_before_the_facts_of_this_release(home, site, authority, tmp_path, monkeypatch):
    certificate = authority.sign("future", "21000101000000Z", "21200101000000Z")
    monkeypatch.setenv("PIP_CERT", str(authority.certificate))
    with bench_index.serving(site, certificate=certificate) as (address, _):
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        order = ordered(tmp_path)
        order = replace(order, configuration=replace(order.configuration, known_day="2099-12-31"))
        error = failure_of(order)
        assert error.code == "clock-wrong"
        assert "the facts of this release were read on 2099-12-31" in str(error.evidence[0].value)


# --- mirrors of every kind


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["json", *also("html")])
def test_mirror_that_speaks_one_language(home, site, tmp_path, monkeypatch, backend, kind):
    copy = tmp_path / "mirror"
    shutil.copytree(site, copy)
    for page in copy.rglob("index.html" if kind == "json" else "index.json"):
        page.unlink()
    with bench_index.serving(copy) as (address, _):
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        assert install(ordered(tmp_path, backend)).verified


@pytest.mark.parametrize("backend", BACKENDS)
def test_mirror_whose_links_climb(home, site, tmp_path, monkeypatch, backend):
    """Relative links to a pool beside the pages, as some mirrors have them, without hashes in the pages of torch."""
    copy = tmp_path / "mirror"
    shutil.copytree(site, copy)
    pool = copy / "pool"
    pool.mkdir()
    for folder in (copy / "whl/cpu/torch", copy / "general/numpy"):
        for path in [*folder.glob("*.whl"), *folder.glob("*.metadata")]:
            path.rename(pool / path.name)
        (folder / "index.json").unlink()
        up = "../../../pool/" if folder.name == "torch" else "../../pool/"
        page = (folder / "index.html").read_text()
        (folder / "index.html").write_text(page.replace('href="', f'href="{up}'))
    with bench_index.serving(copy) as (address, behaviour):
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", f"{address}/whl")
        assert install(ordered(tmp_path, backend)).verified
        assert any(path.startswith("/pool/torch-2.4.1") for path in behaviour.requests)


def test_no_index_beside_an_index(home, server, site, tmp_path, monkeypatch):
    """no-index wins over every index of the same configuration, and nobody is asked."""
    folder = tmp_path / "links"
    folder.mkdir()
    for path in [*site.glob("general/*/*.whl"), *site.glob("whl/cpu/torch/*.whl")]:
        if "general/torch" not in str(path):
            shutil.copy(path, folder)
    pip_conf(home, f"index-url = {server[0]}/general", f"find-links = {folder}", "no-index = true")
    assert install(ordered(tmp_path)).verified
    assert server[1].requests == []


# --- a secret, followed through a whole command


@dataclass
class Watch:
    """Command lines of every process of the machine, read again and again; those that hold a secret are kept."""

    found: list[bytes] = field(default_factory=list)
    looks: int = 0


@contextlib.contextmanager
def watching():
    watch, stop = Watch(), threading.Event()

    def look():
        while not stop.wait(0.003):
            watch.looks += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    words = path.read_bytes()
                    if CANARY.encode() in words or IN_ADDRESS.encode() in words:
                        watch.found.append(words)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()


def gpusetup(home, tmp_path, *words):
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ |= {"PYTHONPATH": str(Path(__file__).parents[3]), "XDG_STATE_HOME": str(home / ".local/state")}
    command = [sys.executable, "-m", "provision", *words, "--env", str(tmp_path / "env"), "--python", PYTHON]
    return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)


@pytest.fixture
def whole_index(tmp_path):
    """What a real plan for the CPU asks for."""
    site = tmp_path / "whole"
    bench_index.make_torch(site / "whl/cpu/torch", "2.13.0+cpu", None, python=TAG)
    for name, version in (("filelock", "3.15.0"), ("numpy", "2.1.0"), ("tokenizers", "0.22.0"), ("safetensors", "0.6")):
        bench_index.make_wheel(site / "general" / name, name, version)
    folder = site / "general/transformers"
    bench_index.make_wheel(folder, "transformers", "5.0.0", files=bench_index.BERT, requires=("numpy", "tokenizers"))
    bench_index.write_pages(site)
    return site


@slow
@pytest.mark.parametrize("backend", ["uv", "pip"])
def test_a_secret_is_nowhere(home, whole_index, tmp_path, monkeypatch, backend):
    """Output, documents, logs, receipts, locks, caches of our own, and the command lines of all children."""
    words = ("install", "--cpu", "--torch", "2.13.0", "--backend", backend)
    with bench_index.serving(whole_index) as (address, behaviour), proxying(("robot", CANARY)) as (place, _):
        behaviour.login = ("robot", CANARY)
        with_torch_index(home, address, monkeypatch)
        monkeypatch.setenv("PIP_PROXY", f"http://robot:{IN_ADDRESS}@{place}")
        with watching() as watch:
            runs = [gpusetup(home, tmp_path, *words, "--dry-run"), gpusetup(home, tmp_path, *words, "--json")]
            behaviour.faults["/general/numpy/numpy-2.1.0-py3-none-any.whl$"] = 403
            runs += [gpusetup(home, tmp_path, *words, "--fresh", "--json"), gpusetup(home, tmp_path, *words, "--fresh")]
    assert [done.returncode for done in runs] == [0, 0, 5, 5], [done.stderr for done in runs]
    assert json.loads(runs[2].stdout)["findings"][0]["id"] == "source-login"
    assert watch.found == []
    assert watch.looks > 10
    places = [place for place in (home, tmp_path / ".env.gpusetup") if place.exists()]
    assert_clean(*places, texts=[done.stdout + done.stderr for done in runs])
