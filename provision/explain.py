"""Pages of `gpusetup explain`: checks and rules carry theirs in the source, errors have theirs here.

Numbers of the driver and of CUDA (xid-79, sxid-12020, nvml-18, cuda-803) have theirs from the rows of the matrix.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .matrix.faults import ErrorCode, Faults, Sxid, Xid

#: Pages of the errors and findings that are neither a check nor a rule of the resolver.
PAGES: Final[dict[str, str]] = {
    "no-usable-gpu": """Fewer GPUs can be used than --require-gpu asked for.

A GPU counts as usable when NVML lists it and answers for it. `gpusetup check` names the cause for each one that is there
and does not count; `gpusetup detect` shows what was read, from which source.""",
    "gpu-unusable": """An NVIDIA GPU is there and cannot be used.

A plan for the CPU is never made in silence on such a box: the environment would look healthy and train a hundred times
slower. Mend the cause (`gpusetup check`), or say --cpu to get a CPU environment on purpose.""",
    "no-compatible-build": """No build in the matrix fits this machine and this request.

`gpusetup plan` lists every build that was passed over with its failing rule, and the smallest changes (another driver,
Python or torch) that would admit one.""",
    "not-in-sources": """A build that fits is held by none of the package sources that were asked.

gpusetup asks the index that the matrix names and the sources of your own configuration (pip.conf, PIP_*, uv settings,
find-links), and goes on to the next build of the same kind: a CPU plan is met only by a CPU build, a CUDA plan only by that CUDA
build. Each source is listed with its answer. Check the network and proxies, point --torch-index at a mirror of PyTorch's wheel
index, or add a find-links folder that holds the wheel.""",
    "install-failed": """The environment could not be made. The old one, if there was one, still works.

The installer's own last lines and its log are named with the error. The log is all that stays of a run that failed, and the next one
that ends well removes it. A run that was killed is another matter: the next one goes on where it can (docs/environments.md).""",
    "install-silent": """The installer said nothing and wrote nothing for a long time, and was ended.

The deadline is on silence, not on total time. The network or the disk may be stuck; the log that is named tells how far it came.""",
    "bundle-damaged": """A file of a bundle is not what was put there: gone, cut short, changed, a link, or one too many.

manifest.json holds the size and the sha256 of every file. Nothing is installed from a damaged bundle. Copy it again (a full or failing
disk cuts files short), then `gpusetup bundle verify DIR`; where the copy is good and the verdict stays, make the bundle again.""",
    "bundle-malformed": """The manifest of a bundle cannot be used: it is missing, not what `gpusetup bundle create` writes, or it names
something outside of the bundle.

Name the folder that holds manifest.json. A manifest is never edited by hand; paths are short, relative and through no link.""",
    "bundle-misfit": """No plan of the bundle fits this machine.

A build comes out of a bundle only where `gpusetup plan` admits that very build on this machine: driver, GPUs, glibc, processor and Python
together. Each plan is listed with the rule that it fails; `gpusetup explain` has the page of the rule, and `gpusetup plan --why-not` the
full reasons. Record this machine with `gpusetup detect --json`, plan for it where there is a network (`gpusetup plan --from`), and make a
bundle of that plan. One bundle can hold the plans of several machines.""",
    "bundle-not-written": """The folder of a bundle could not be written; the place and the system's own words are named with the error.

What has come whole is kept beside it, in the folder that ends in `.part`, and the same command goes on there.""",
    "download-failed": """A file that a bundle needs could not be had, after three attempts.

The source and its answer are named with the error. What has come whole is kept: the same command goes on where this one stopped.""",
    "host-python-left-out": """Somewhere gpusetup itself can't be started with that Python, as the package sources lack something that it needs.

The Python of the environment is another matter: it is that of the plan. Any one of the Pythons that are listed is enough to start gpusetup
out of the bundle. `--host-python X.Y` makes the one that is named a must.""",
    "own-wheel-impossible": """The bundle can't carry gpusetup itself, because its own files or requirements are not known.

They are where gpusetup runs from a clone, or from an environment that pip or uv made. They are not out of a zip application.""",
    "native-cuda": """Of two builds of one torch the one whose CUDA the driver implements itself is preferred.

A newer CUDA of the same major would run by minor version compatibility; a newer driver makes it native.""",
    "harness-failed": """The acceptance workload could not run in the environment.

The lines that it wrote last are part of the error. This is not a verdict on the machine: nothing was measured.""",
    "bad-input": """A file that was read is not what it should be.

The message names the place inside the file, what was found there and what was expected.""",
    "usage": """The words of the command line do not fit together. `gpusetup COMMAND --help` shows an example.""",
    "suppression-expired": """An entry of the file of suppressions is past its last day, so what it named counts again.

Every entry has a reason and a last day, so that nothing is forgotten. Mend what the check found and remove the entry, or give it a
later day.""",
    "interrupted": """The command was stopped by Ctrl-C. What was there before still works; the next run finishes the job.""",
    "terminated": """The command was stopped by SIGTERM. What was there before still works; the next run finishes the job.""",
    "internal-error": """gpusetup met a bug of its own. The log that is named holds what a report of it needs.""",
    "cpu-plan": """The plan is for the CPU, because no NVIDIA GPU is there or --cpu asked for it.

A CPU plan is met only by a CPU build, and its verdict is shown as `accepted (cpu)`: it never counts as a GPU acceptance.""",
    "not-a-cpu-plan": """A machine with an NVIDIA GPU does not share a CPU build with machines that have none.

A CPU build is never a GPU machine's plan in silence. `gpusetup plan --from FOLDER --cpu` plans a whole fleet for the CPU.""",
    "no-common-build": """No build of torch with one CUDA variant runs on every machine of the fleet.

Each machine may have a plan of its own. The plan of the fleet names the build that most machines can run, those outside with the
rule that keeps them out, and the smallest set of machines to change. The newest torch that all can run, each in a variant of its
own, is named too where there is one.""",
    "gpu-vendor-not-supported": """A display controller of another vendor is there. gpusetup serves NVIDIA GPUs only.

Builds for ROCm or XPU are not in the matrix. The box is planned as one without an NVIDIA GPU.""",
    "row-doubtful": """The plan stands on a row of the matrix whose facts are not all certain.

The row says what is doubtful and why. Another build may stand on certain facts: `gpusetup plan` with --torch or --cuda.""",
    "gpus-left-out": """The box has GPUs of several kinds, and no build serves them all.

The plan is the best build for the most capable of them, and names the others with the rule that the build fails on each.
Programs must not use those: CUDA_VISIBLE_DEVICES hides them, and `gpusetup accept` sets it for its own run. A second environment
with an older build may serve them: `gpusetup plan --gpu NAME --driver VERSION` says which.""",
    "vgpu-guest": """The machine is a guest with a virtual GPU.

Its driver is the vGPU guest driver of the same major as the one on the host, not the data center driver; the numbers of the
branches compare as elsewhere. Without a licence the vGPU is throttled or refuses compute: `nvidia-smi -q` shows the state.""",
    "jetson-wheels": """A Jetson for which the general wheels hold no code that its CUDA could run.

Up to JetPack 6 the GPU of a Jetson needs builds of its own: NVIDIA publishes wheels per JetPack, and container images. From
CUDA 13.2 on one build serves Arm servers and Orin alike, on a JetPack that has that CUDA. gpusetup names NVIDIA's wheel and does not
install it.""",
    "mig-enabled": """A GPU is in MIG mode: it is split into instances.

A process sees one instance, with its share of memory and multiprocessors, and there is no peer access between instances. The
compute capability is that of the whole GPU, so the same builds fit.""",
    "forward-compatibility": """User space of a newer CUDA than the kernel driver implements is in use: a compatibility package (cuda-compat).

NVIDIA supports it on data center boards and Jetson, from certain driver branches (`gpusetup matrix show --cuda`). The plan
holds as long as the loader finds that libcuda, in containers as on the host; without it the driver's own CUDA counts. An image
may bring the package itself (`plan --container`): then nothing has to be installed on the host.""",
    "gpu-plan": """A CPU build was asked about on a box whose GPU can be used.

A CUDA plan is met only by a CUDA build; --cpu asks for a CPU build and leaves the GPU unused.""",
    "newest-torch": """Of the builds that fit, the newest torch that has a working transformers pair is chosen.

An older one fits too. `--torch` asks for it.""",
    "highest-cuda": """Of two builds of one torch that the driver treats alike, the one with the higher CUDA is chosen.

`--cuda` asks for the other.""",
    "preferred-python": """Of the Pythons on which a build fits, the one that was asked for comes first, then the host's, then others.

`--python` asks for another.""",
    "minor-version-compatibility": """The wheel's CUDA is newer than the one that the driver implements, within the same major.

NVIDIA guarantees that binary code of the same major runs from the floor of that major on. What needs compilation on the
machine (PTX) does not, and features newer than the driver are missing. A newer driver removes the doubt.""",
    "companion-wheel-missing": """A compiled companion of torch publishes no wheel for this free-threaded Python.

The installer would have to build it. Take the ordinary build of the same Python, or another Python.""",
    "local-label-missing": """Wheels of this build carry no local label, so torch.__version__ prints the number alone.

The build is recognised by the index that holds it and by torch.version.cuda.""",
    "verification-failed": """The new environment is not what the plan asked for, and was not put in place.

Each comparison that failed is listed with what was found and what was expected. The old environment still works.""",
    "source-login": """A package source wants a login, or refuses the one that it got (401, 403).

The sentence names the source without any login. Logins are read as pip and uv read them: from the address in your configuration,
UV_INDEX_<NAME>_USERNAME and _PASSWORD, or ~/.netrc (NETRC names another file). They travel in headers to that host only, never in
the arguments of a program, and are neither printed nor stored. Nobody is there to answer a question, so keyrings that ask cannot.""",
    "proxy-login": """The proxy between this machine and the sources wants a login (407).

It is read from `proxy` in pip's configuration or from HTTPS_PROXY and HTTP_PROXY.""",
    "source-not-trusted": """The certificate of a source is signed by an authority that this machine does not know.

A company's proxy that opens connections, or a private index, has an authority of its own. `cert` in pip's configuration, PIP_CERT,
SSL_CERT_FILE or REQUESTS_CA_BUNDLE names its file. `trusted-host` switches the proof off for one host: wheels are held to their hashes
all the same, but the hashes then come from a page that anybody on the way could have written.""",
    "certificate-not-valid": """The certificate of a source has expired, or is not valid yet, by this machine's clock.

Where the clock can be shown to be wrong the finding is `clock-wrong`. Here the clock agrees with the source's own, or the source did
not say what time it is.""",
    "clock-wrong": """This machine's clock is wrong, so every certificate looks expired or not valid yet.

Two things show it: a day before the facts of this release were read, or more than five minutes of difference to the clock of the
source, which is asked for the time without any login. Machines without a battery and restored virtual machines are often so.""",
    "source-unreachable": """A package source gives no answer: no such name, no connection, or silence.

Each source has a deadline on silence, so that one that hangs holds up nobody. Look at the network, the proxy (HTTPS_PROXY,
NO_PROXY, `proxy` in pip's configuration) and the spelling of the address.""",
    "source-too-slow": """A package source had not finished its answer when the time for it was over.

It does answer, too slowly: a page of an index has 20 seconds. For downloads only silence counts, not the whole time.""",
    "source-failed": """A package source answers with an error of its own (500, 502, 503, 504), also the second time.

That passes, or its operators have to mend it. What was downloaded before is kept in the installer's cache.""",
    "source-not-an-index": """What a source sends is not a page of a package index.

Mostly it is a page to sign in, the notice of a proxy, or the address of another service; a page of more than 32 MiB is not read,
either. The address of an index ends before the name of the project: .../simple, not .../simple/torch.""",
    "file-gone": """A source lists a file and does not have it (404, 410).

A mirror may be in the middle of an update, or its pages older than its files.""",
    "download-broken": """A download or a page broke off before its end.

The same command goes on with what is in the installer's cache. Where it happens again and again a proxy may limit size or time.""",
    "hash-mismatch": """A file is not the one whose hash stands on the source's page or in the lock.

Nothing of it was installed. The transfer may have broken off; where it stays so, the source serves a changed file, or somebody on the
way does.""",
    "wheel-malformed": """A wheel cannot be unpacked: it is no archive, is cut off, or names files outside of its own folder.

Of wheels on this disk that is seen before anything is made, also when one would unpack to more than 200 times its size. Of wheels
from the network uv leaves out files that would lie outside, and pip refuses the wheel.""",
    "environment-not-executable": """The environment would lie on a file system that is mounted with noexec.

An interpreter that is linked from elsewhere would start there, and torch's libraries could not be loaded: the kernel maps no code from
such a file system. Name another place with --env.""",
    "environment-without-links": """The file system of --env has no symbolic links (FAT, exFAT, some network and FUSE file systems).

An environment links to its interpreter, and --env itself is a link that is switched in one step.""",
    "environment-without-locks": """The file system of --env cannot lock files.

Two runs at once would spoil each other. NFS before version 4 locks only where lockd runs; some FUSE file systems never do.""",
    "disk-full": """The disk has no room for the environment.

The download and the unpacked size are estimated before anything is written. Free room on the file system of --env, or name
another place.""",
    "environment-busy": """Another gpusetup is working on this environment.

Only one at a time may; the second waits a moment and then gives up. The process that holds the lock is named.""",
    "environment-foreign": """There is a folder at --env that gpusetup did not make.

It is never replaced. Name another path, or move the folder away.""",
    "environment-missing": """There is no environment that gpusetup made at this path, none of that name, or none that can be read.

`gpusetup env list --env PATH` shows what is behind a path.""",
    "environment-changed": """An environment was changed by hand since gpusetup made it, so `install` made a new one beside it.

What counts as changed: a package that is gone or has another version, and a file that is gone or has another size, held against the
receipt and the RECORD of each package. Packages that were only added leave it as it is (`environment-extended`). An environment that was changed is never mended in place and never thrown away: it
stays behind the path, and `gpusetup env rollback` leads back to it. Packages that were added are not in the new one; the command that is
named installs them again. pip, setuptools, wheel and uv do not count.""",
    "torch-index-unanswered": """The mirror of PyTorch's wheel index that was named gave no answer, and another source held the build.

What was installed is the planned build, verified by the hash that its source states; only the source is another one than you named. The
evidence has what was asked and what came back.""",
    "environment-extended": """Somebody added packages to an environment that gpusetup made. Everything that was planned is there.

`install` and `up` use it as it is; `gpusetup env list` names what was added. When the plan changes, a new environment is made and the
finding `environment-changed` has the command that installs the added packages there.""",
    "environment-damaged": """The environment to go back to is not as its receipt says, so it has to be named.

`gpusetup env list --env PATH` names what is missing or moved. `gpusetup env rollback --to NAME` takes it as it is; `gpusetup install`
makes a whole one.""",
    "environment-current": """The current environment is not removed alone: the path would lead nowhere.

Go back to another one first with `gpusetup env rollback`, or remove the path with everything behind it: `gpusetup env remove` without
--name.""",
    "environment-in-use": """A process still uses an environment that is to be removed.

/proc tells: a process maps files of it, works in it or was started from it. An install keeps such an environment and the next
one removes it; `gpusetup env remove` stops before anything is removed. A service that was started from an environment goes on with it
after a switch until it is restarted. Processes of other users and containers can't be seen.""",
    "environment-not-writable": """The place of --env can't be written.

The environment is made in a folder beside --env and a link is put in place at the end; both need write permission there.""",
    "harness-timed-out": """The acceptance workload said nothing for too long and was ended.

A deadline on silence ends it: a hanging driver or a stuck disk would otherwise be waited for without end.""",
    "hash-missing": """A source states no hash for a file that is needed, and it could not be computed.

Nothing is installed that can't be verified. Use a source whose pages carry hashes.""",
    "lock-malformed": """The lock that the resolver wrote, or that was given with --locked, can't be read.

The message names the place in it, what was found and what was expected. Every file must be a wheel of its project and version, with an
http, https or file address and a SHA-256.""",
    "lock-mismatch": """The lock holds another torch than the plan allows.

With --locked: the build of the lock is none of those that the plan admits; where a rule keeps it out on this machine, the rule stands in
the evidence. Make a lock on a machine like this one. Otherwise the resolver took another torch than was chosen, and the two are named.
Nothing was installed.""",
    "lock-not-for-this-machine": """A file of the lock does not run here: no tag of its name is one that this machine takes.

Tags name the Python, its ABI and the platform with its glibc (cp311-cp311-manylinux_2_28_x86_64). The evidence has the tags of the
file and the newest that is taken here. Make a lock on a machine with the same Python, processor and an equal or older glibc.""",
    "source-conflict": """Two of the configured package sources hold different files under one name.

Whoever may write to one of several indexes or find-links folders may offer a file under any name. One file name with two contents ends
the installation. An NVIDIA library or triton that only a source holds which the plan does not name is left alone, and that of the named
source taken; this is told. So is a file of an extra index that the general index does not have although it has the project: a
private build may be meant, or somebody put it there under a known name. Find out which source is right, and take the other out of
the configuration of pip or uv (`gpusetup plan --check-sources` names where each is configured).""",
    "package-configuration-malformed": """A configuration file of pip or uv can't be read.

The message names the file, the place in it, what was found and what was expected.""",
    "python-missing": """The plan needs a Python that is not there.

gpusetup looks on PATH, in /usr/bin, /usr/local/bin and /opt/python, in pyenv's folders, among uv's managed interpreters and in
conda's environments. It fetches one only with --python-download: uv puts it into its own folder, from the network that your
settings name. Else install that Python (the command for the distribution is named where it has a package), or plan for one that
is there with --python.""",
    "python-unusable": """A Python of the right version is there, and no environment can be made from it.

Detection knows interpreters by their names and first bytes; the one that would be used is started and asked what it is, with a
deadline. It may crash, hang, be another version than its name says, or lack parts of the standard library: ctypes (torch), zlib, and
for the pip backend venv and ssl. Debian's python3.X without python3.X-venv will do: the environment is made without pip. A build of
pyenv that lacks a part was made where the library's headers were missing.""",
    "python-download": """The plan stands on a Python that is not on this machine; --python-download allowed that.

Nothing was fetched for the plan. `gpusetup install` fetches it when it has the same option: `uv python install`, into the folder of
uv's managed interpreters. Without the option only interpreters that are there are planned for.""",
    "python-download-failed": """uv knows a build of that Python for this machine and could not fetch it.

The address and the reason are in uv's own lines. UV_PYTHON_INSTALL_MIRROR names a mirror, UV_PYTHON_DOWNLOADS_JSON_URL a list of
your own; proxies and certificates are those of your settings. An interpreter that was put into one of the usual places by other
means is found the same way.""",
    "verification-incomplete": """Something about the new environment could not be looked at.

The environment is in place; what is listed is not known to work. The acceptance run shows whether it does.""",
    "wheel-is-another-build": """A wheel without a local label turned out to be another build than the matrix says of that source.

A general index may hold a rebuilt torch under the official version number. The build is passed over for the next one.""",
    "uv-missing": """uv resolves what an environment needs, whichever backend installs it; it is a dependency of gpusetup.""",
    "matrix-invalid": """A matrix file, or a site file that is laid over the matrix, breaks a rule of its own.

The message names the file, the place inside it, what was found and what was expected. A site file is checked alone and
with the matrix under it: `gpusetup matrix validate FILE`. `--site none` plans without one.""",
    "matrix-drift": """The matrix and the package index disagree about a fact.

Either the index changed (a new release, a rebuilt or withdrawn wheel) or the row was wrong. Each row is listed with both
sides. Correct the row and its read_on, or write down in its note why it stays; `gpusetup matrix validate FILE` checks the file.""",
    "row-not-readable": """A row could not be compared: the source gave no answer, or what it sent could not be read.

This says nothing about the row, neither that it holds nor that it does not. The reason stands beside each row; run the audit
again where the source answers.""",
    "index-not-reachable": """No package index answered, so there was nothing to compare the matrix with.

The index is that of your own configuration (pip.conf, PIP_*, uv settings), with its proxy and certificates. `gpusetup plan
--check-sources` shows what each source says.""",
    "distribution-not-covered": """The driver steps of this distribution, or of this release of it, are not written.

`gpusetup driver plan --os 'ubuntu 24.04' --gpu NAME` shows those of another one; docs/drivers.md lists which there are.""",
    "driver-of-another": """The driver of this system is somebody else's to install.

Under WSL it is that of Windows, in a container that of its host, on a Jetson part of JetPack, in a guest with a virtual GPU
one that fits the hypervisor; a GPU that is kept for virtual machines (vfio-pci) needs its driver inside the guest. Packages
of a driver would hide the right one or break it.""",
    "repository-key-unknown": """Nobody has read the whole fingerprint of the key that signs this repository.

A key is trusted only when its 40 digits are those of the matrix, table `repositories`; eight digits can be forged. Take the
distribution's own archive where it has a driver (--source distro), or add the repository yourself after comparing the key by
another way: steps for a repository that is configured already fetch no key.""",
    "mixed-driver-sources": """Parts of the driver come from two sources.

Packages of Ubuntu's archive and of NVIDIA's repository overwrite each other's files, and NVIDIA's own installer those of both.
The next upgrade of one leaves a driver whose parts do not fit. The steps remove what is of the other source.""",
    "gpu-not-in-matrix": """The matrix does not know this GPU, so nothing says which driver branch serves it.""",
    "no-common-driver-branch": """No driver branch serves all GPUs of this machine together.

Old and new GPUs may have no branch in common; one of them has to leave, or go to a virtual machine.""",
    "needs-root": """Changing the driver needs root, and the command was typed by another user.

The line with sudo stands beside the error. Nothing was changed.""",
    "precondition-failed": """A step of the driver plan needs something that does not hold, so it was not begun.

The question that was asked of the machine, its answer and what would be a yes are shown. The steps before it are done; after the
cause is mended, `gpusetup driver install --resume` goes on with this one.""",
    "step-failed": """A command or a file of a driver step failed.

Its last lines and its log are named. The steps before it stay done. `gpusetup driver install --resume` goes on at the action that failed
(packages that were left half configured are finished first), `gpusetup driver undo` takes back what was done, the last step first.""",
    "step-not-done": """Every action of a step ended without an error, and what proves that the step is done still says no.

The proof is shown with its answer; the log of the step tells what its commands said. Nothing after it was begun.""",
    "would-remove-packages": """The package manager would remove packages that the step does not name, so it was not run.

What an installation removes is asked for first (apt-get -s, dnf --assumeno, zypper --dry-run). A kernel, a desktop or a package of your
own must never go because of a driver. See what needs them, remove or release them yourself, then go on.""",
    "key-not-fetched": """The signing key of a package repository could not be fetched.

It is fetched through the proxy and the certificates of your own configuration. Nothing of that repository was added.""",
    "key-fingerprint-mismatch": """The signing key that was fetched is not the one that the plan pins.

It was not installed. A proxy that answers with a page of its own, or a key that was exchanged: compare the fingerprint with the one that
NVIDIA publishes. Signature checks are never switched off.""",
    "driver-run-unfinished": """An earlier run of driver steps is not at its end.

Go on with it, take it back, or leave it as it is and make a new plan (--fresh), whose steps pass over what is done already.""",
    "driver-run-busy": """Another gpusetup is working on the driver of this machine. Only one at a time may.""",
    "driver-run-stopped": """A signal stopped the run of driver steps between two actions.

A package manager is never ended in the middle: Ctrl-C and SIGTERM wait for the action that runs. What was done stays, and the run goes
on where it was.""",
    "driver-journal-malformed": """The journal of a run of driver steps can't be read, or can't be trusted.

Its commands would be run as root, so it counts only where nobody else can write to it or to a folder above it, and only as it
was written. `gpusetup driver install --fresh` makes a new plan; steps that are done are passed over.""",
    "driver-journal-not-writable": """The journal of the driver steps can't be written, so nothing more is done.

Every transition is on the disk before the next thing happens. Free some space, then go on.""",
    "reboot-needed": """The machine must be restarted before the driver steps go on.

The new kernel module is loaded, and the old one or nouveau is left behind, by a restart. `gpusetup driver install --resume` notices whether
it happened; it restarts the machine by itself only with --reboot.""",
    "driver-not-answering": """All driver steps are done, and no GPU answers.

`gpusetup check` names the cause: a module that Secure Boot refuses, one that was not built for this kernel, a GPU that fell off the bus.""",
    "driver-branch-differs": """All driver steps are done, and the driver that answers is of another branch than the plan's.

The old module may still be loaded, or another repository brought another release.""",
    "kernel-module-differs": """All driver steps are done, and the loaded kernel module is of the other flavour: open or proprietary.

The old module may still be loaded; some GPUs work with one flavour alone.""",
    "acc.completed": """The acceptance run must come to its end.

A run that failed, was interrupted or met a loss that is not finite says nothing about speed or quality. The report holds
what it had seen until then.""",
    "acc.on_gpu": """The plan was for the GPU, and the training ran, or would have run, on the CPU.

What it finds: tensors that live elsewhere than planned. Why it matters: a speed measured on the CPU says nothing about the
GPU, and torch.cuda.is_available() proves nothing. How it is decided: by the device on which the parameters and batches really
were, and by a kernel whose result was compared with the CPU's. What to do: `gpusetup check`.""",
    "acc.loss": """The training loss must stay finite and fall.

How it is decided: the mean of the last steps against the mean of the first ones; the bar stands beside the figure.""",
    "acc.quality": """The held-out accuracy must be above the bar of the workload.

The bar is set below every one of 20 reference seeds in fp32 and in bf16, kept under benchmarks/smoke_seeds. Classifiers that
count words reach one half, far below it, so only a model that really learned passes.""",
    "acc.steps": """As many optimizer steps must have been executed as were planned; otherwise no rate is printed.""",
    "acc.software": """torch.__version__ and torch.version.cuda inside the environment must equal the plan.""",
}


def page(id_: str) -> str | None:
    """The page of an id; None when nothing has that id."""
    return (
        _number_page(id_)
        or PAGES.get(id_)
        or _check_pages().get(id_)
        or _rule_pages().get(id_)
        or _expectation_pages().get(id_)
    )


def known_ids() -> tuple[str, ...]:
    """Every id that has a page, sorted; not the some three hundred numbers of the matrix."""
    return tuple(sorted({*PAGES, *_check_pages(), *_rule_pages(), *_expectation_pages()}))


def _expectation_pages() -> dict[str, str]:
    from .expectations import pages

    return pages()


def _check_pages() -> dict[str, str]:
    from .checks import all_checks

    return {check.id: check.page for check in all_checks()}


def _rule_pages() -> dict[str, str]:
    from .resolve import RULES, rule_id
    from .resolve.image_rules import IMAGE_RULES, LAST_RESORT_IMAGE_RULES

    rules: tuple[Any, ...] = (*RULES, *IMAGE_RULES, *LAST_RESORT_IMAGE_RULES)
    return {rule_id(rule): inspect.cleandoc(rule.__doc__ or "") for rule in rules}


# --- numbers of the matrix ----------------------------------------------------------------------

_NUMBER: Final = re.compile(r"(xid|sxid|nvml|cuda)-(\d{1,6})", re.ASCII)

_XID_CLASSES: Final = {
    "hardware": "A part of the machine is at fault.",
    "reset": "The GPU is of no use until something was done.",
    "application": "A program failed; the GPU is most likely sound.",
    "info": "Nothing has failed by this alone.",
}
_SXID_CLASSES: Final = {
    "non_fatal": "Jobs go on.",
    "fatal": "Jobs over this link end, and its GPU prints Xid 74: reset the GPUs of that link, or restart the machine.",
    "always_fatal": "The whole fabric has to start anew: restart the machine.",
}
_ACTIONS: Final = {
    "none": "nothing",
    "restart-app": "start the program again",
    "reset-gpu": "reset the GPU",
    "restart-fabric": "restart the service of the fabric",
    "reboot": "restart the machine",
    "power-cycle": "switch the machine off and on",
    "check-power": "check cables and power supply",
    "drain": "let work on the GPU end",
    "support": "a test of the board, and its vendor",
}


def _number_page(id_: str) -> str | None:
    match = _NUMBER.fullmatch(id_)
    if not match:
        return None
    from .matrix import default_matrix
    from .paths import cache_folder

    matrix = default_matrix(cache_folder())
    found = _numbered(matrix.faults, match[1], int(match[2]))
    if found is None:
        return None
    paragraphs, row = found
    if row.doubtful:
        paragraphs.append(f"Not certain: {row.doubtful}.")
    sources = dict(matrix.sources)
    paragraphs.append(f"From: {'; '.join(sources[key] for key in row.source)}.")
    return "\n\n".join(paragraphs)


def _numbered(faults: Faults, kind: str, number: int) -> tuple[list[str], Xid | Sxid | ErrorCode] | None:
    """The paragraphs of a row, and the row itself for its doubts and sources."""
    if kind == "xid":
        return (_xid_paragraphs(xid), xid) if (xid := faults.xid(number)) else None
    if kind == "sxid":
        sxid = faults.sxid(number)
        return ([f"{_titled(sxid.name)} {sxid.means}", _SXID_CLASSES[sxid.sxid_class]], sxid) if sxid else None
    code = faults.nvml_error(number) if kind == "nvml" else faults.cuda_error(number)
    return ([f"{code.name}: {code.means}", f"What to do: {code.do}"], code) if code else None


def _xid_paragraphs(row: Xid) -> list[str]:
    steps = f"At once: {_ACTIONS[row.action]}."
    if row.then:
        steps += f" When it comes back: {_ACTIONS[row.then]}."
    paragraphs = [f"{_titled(row.name)} {row.means}", f"{_XID_CLASSES[row.xid_class]} {steps}", f"What to do: {row.do}"]
    if row.texts:
        words = [f"`{text.words}`: {text.xid_class}, {_ACTIONS[text.action]}" for text in row.texts]
        paragraphs.append("Words of the kernel line decide: " + "; ".join(words) + ".")
    return paragraphs


def _titled(name: str) -> str:
    return f"{name[0].upper()}{name[1:]}."
