"""Kinds of file systems and how to mount each one from a folder of this machine.

Each mount works on a scratch folder: `image` holds the bytes of a file system with a device, `under` and `lower`
hold the files of a layered one, and `root` is where it is mounted. Unmounting and mounting again shows the same files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.power.rig import MEBIBYTE, Unavailable, command

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/libexec/openssh/sftp-server")
UNMOUNT_TRIES = 100

Step = Callable[[Path], None]


def nothing(path: Path) -> None:
    """Lay out no files."""


class Kind(NamedTuple):
    """A kind of file system: `make` prepares a scratch folder once, `mount` mounts it at `root`.

    `lays_below` means that the first files are laid out in the folder `lower` before the mount, not through it.
    """

    name: str
    make: Step
    mount: Step
    lays_below: bool = False
    survives_unmount: bool = True


class Mounted:
    """A mounted file system: `root` is its top directory."""

    def __init__(self, kind: Kind, scratch: Path) -> None:
        self.kind = kind
        self.scratch = scratch
        self.root = scratch / "root"

    def mount(self) -> None:
        """Mount it. Raises OSError where the kernel or the program refuses."""
        self.kind.mount(self.scratch)
        if str(self.root.resolve()) not in mount_points():
            raise OSError(f"{self.root} is not a mount point although the mount reported no error")

    def remount(self) -> None:
        """Unmount it and mount it again, as after a restart of the machine."""
        unmount(self.root)
        self.mount()


@contextlib.contextmanager
def mounted(kind: Kind, scratch: Path, lay_out: Step = nothing) -> Iterator[Mounted]:
    """Mount a kind in an empty scratch folder with the files that `lay_out` writes into the folder that it gets.

    Raises Unavailable, with the reason, where this machine cannot mount it.
    """
    if os.geteuid() != 0:
        raise Unavailable("mounting needs root")
    system = Mounted(kind, scratch)
    system.root.mkdir(parents=True)
    (scratch / "lower").mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(unmount_all, scratch)
        try:
            kind.make(scratch)
            if kind.lays_below:
                lay_out(scratch / "lower")
            system.mount()
        except OSError as error:
            raise Unavailable(f"{kind.name} cannot be mounted here ({error})") from error
        if not kind.lays_below:
            lay_out(system.root)
        yield system


def unmount(path: Path) -> None:
    """Unmount what is mounted at a path, waiting while a dying process still keeps it busy."""
    for _ in range(UNMOUNT_TRIES):
        try:
            command("umount", str(path))
            return
        except OSError as error:
            if "busy" not in str(error):
                raise
            last = error
            time.sleep(0.05)
    command("umount", "--lazy", str(path))
    raise last


def unmount_all(scratch: Path) -> None:
    """Unmount everything below a scratch folder, the latest mount first."""
    for point in reversed(mount_points()):
        if Path(point).is_relative_to(scratch.resolve()):
            unmount(Path(point))


def mount_points() -> list[str]:
    """List the mount points of this process, the oldest first; os.path.ismount does not see a bind mount."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return [line.split(" ")[4] for line in file]


def bind(path: Path, onto: Path) -> None:
    """Mount a directory at a second place, or onto itself."""
    command("mount", "--bind", str(path), str(onto))


def mount_memory(path: Path) -> None:
    """Mount an empty file system in memory."""
    command("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path))


# ---- kinds with a device ---------------------------------------------------------------------------------------


def has_kernel_driver(name: str) -> bool:
    """True if the running kernel has a driver for a file system, or can load one."""
    with contextlib.suppress(OSError, Unavailable):
        command("modprobe", "-q", name)
    with open("/proc/filesystems", encoding="ascii") as file:
        return name in file.read().split()


def on_image(name: str, size_mebibytes: int, *mkfs: str, driver: str = "", options: str = "loop") -> Kind:
    """Describe a file system of the kernel in an image file."""
    kernel_name = driver or name

    def make(scratch: Path) -> None:
        if not has_kernel_driver(kernel_name):
            raise Unavailable(f"this kernel has no driver for {kernel_name}")
        image = scratch / "image"
        with open(image, "wb") as file:
            file.truncate(size_mebibytes * MEBIBYTE)
        command(*mkfs, str(image))

    def mount(scratch: Path) -> None:
        command("mount", "-t", kernel_name, "-o", options, str(scratch / "image"), str(scratch / "root"))

    return Kind(name, make, mount)


def on_image_by_program(name: str, size_mebibytes: int, mkfs: tuple[str, ...], program: tuple[str, ...]) -> Kind:
    """Describe a FUSE file system on an image; `program` gets `{image}` or `{device}`, and `{root}`."""

    def make(scratch: Path) -> None:
        needs(program[0])
        image = scratch / "image"
        with open(image, "wb") as file:
            file.truncate(size_mebibytes * MEBIBYTE)
        command(*mkfs, str(image))

    def mount(scratch: Path) -> None:
        image, device = str(scratch / "image"), ""
        try:
            if "{device}" in program:
                device = command("losetup", "--find", "--show", image).strip()
            words = [word.format(image=image, device=device, root=scratch / "root") for word in program]
            start(*words)
        finally:
            if device:
                command("losetup", "--detach", device)  # lazily: it goes when the mount goes

    return Kind(name, make, mount)


def needs(*programs: str) -> None:
    """Raise Unavailable where a program or /dev/fuse is missing."""
    for program in programs:
        if shutil.which(program) is None and not os.path.exists(program):
            raise Unavailable(f"{program} is not installed")
    if not os.path.exists("/dev/fuse"):
        raise Unavailable("/dev/fuse is missing")


def start(*words: str) -> None:
    """Start a program that goes on in the background once it has mounted its file system."""
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


# ---- kinds over other folders ----------------------------------------------------------------------------------


def over_folders(name: str, *words: str, lays_below: bool = False) -> Kind:
    """Describe a FUSE file system over folders; the words get `{under}`, `{lower}` and `{root}`."""

    def make(scratch: Path) -> None:
        needs(words[0])
        (scratch / "under").mkdir()

    def mount(scratch: Path) -> None:
        places = {"under": scratch / "under", "lower": scratch / "lower", "root": scratch / "root"}
        start(*(word.format(**places) for word in words))

    return Kind(name, make, mount, lays_below)


def sshfs(name: str, *options: str) -> Kind:
    """Describe sshfs with an SFTP server that it starts itself in the place of ssh: no network, no keys."""

    def make(scratch: Path) -> None:
        needs("sshfs")
        server = next(filter(os.path.exists, SFTP_SERVERS), None)
        if server is None:
            raise Unavailable("sftp-server is not installed")
        (scratch / "under").mkdir()
        script = scratch / "ssh"
        script.write_text(f"#!/bin/sh\nexec {server}\n")
        script.chmod(0o755)

    def mount(scratch: Path) -> None:
        joined = ",".join((f"ssh_command={scratch / 'ssh'}", *options))
        start("sshfs", "-o", joined, f"host:{scratch / 'under'}", str(scratch / "root"))

    return Kind(name, make, mount)


def overlay(name: str, *, lays_below: bool, lower_elsewhere: bool = False) -> Kind:
    """Describe an overlayfs; its lower folder may be on another file system than its upper one."""

    def make(scratch: Path) -> None:
        for folder in ("upper", "work"):
            (scratch / folder).mkdir()
        if lower_elsewhere:
            mount_memory(scratch / "lower")

    def mount(scratch: Path) -> None:
        options = ",".join(f"{key}dir={scratch / key}" for key in ("lower", "upper", "work"))
        command("mount", "-t", "overlay", "-o", options, "overlay", str(scratch / "root"))

    return Kind(name, make, mount, lays_below)


def _make_under(scratch: Path) -> None:
    (scratch / "under").mkdir()


KINDS = {
    kind.name: kind
    for kind in (
        on_image("ext4", 32, "mkfs.ext4", "-q", "-F"),
        on_image("ext2", 32, "mkfs.ext2", "-q", "-F"),
        on_image("xfs", 300, "mkfs.xfs", "-q", "-f"),
        on_image("btrfs", 128, "mkfs.btrfs", "-q", "-f"),
        on_image("vfat", 32, "mkfs.fat"),
        on_image("exfat", 32, "mkfs.exfat"),
        Kind(
            "tmpfs",
            nothing,
            lambda scratch: mount_memory(scratch / "root"),
            survives_unmount=False,
        ),
        Kind("bind-mount", _make_under, lambda scratch: bind(scratch / "under", scratch / "root")),
        overlay("overlayfs-upper", lays_below=False),
        overlay("overlayfs-lower", lays_below=True),
        overlay("overlayfs-lower-elsewhere", lays_below=True, lower_elsewhere=True),
        over_folders("bindfs", "bindfs", "{under}", "{root}"),
        over_folders("unionfs-fuse", "unionfs-fuse", "-o", "cow", "{under}=RW", "{root}"),
        over_folders(
            "unionfs-fuse-lower", "unionfs-fuse", "-o", "cow", "{under}=RW:{lower}=RO", "{root}", lays_below=True
        ),
        over_folders("mergerfs", "mergerfs", "{under}", "{root}"),
        over_folders("mergerfs-two-branches", "mergerfs", "{under}:{lower}", "{root}", lays_below=True),
        sshfs("sshfs"),
        sshfs("sshfs-without-links", "disable_hardlink"),
        on_image_by_program("exfat-fuse", 32, ("mkfs.exfat",), ("mount.exfat-fuse", "{device}", "{root}")),
        on_image_by_program("fusefat", 32, ("mkfs.fat",), ("fusefat", "-o", "rw+", "{image}", "{root}")),
        on_image_by_program("ntfs-3g", 32, ("mkfs.ntfs", "-F", "-Q", "-q"), ("ntfs-3g", "{device}", "{root}")),
    )
}

ORDINARY = {"ext2", "xfs", "btrfs", "tmpfs", "bind-mount", "overlayfs-upper", "overlayfs-lower"}
"""Kinds that behave as ext4 does in all that docs/file-systems.md lists."""

ODD_KINDS = [kind for kind in KINDS.values() if kind.name not in ORDINARY]
