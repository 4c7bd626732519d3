"""Downloads packages of Debian with a private apt that needs no root and changes no system file.

The private apt has its own sources, lists and cache. It reads the machine's other apt settings
(proxies), and it verifies signatures and checksums as any apt does, with Debian's keyring.
"""

import os
import shutil
from pathlib import Path

from host.errors import SetupError
from host.setup import find_machine_cause, run_quietly, run_step

# The first release with a `micropython` package, and the one that the kernels were measured on.
SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def find_mirror() -> str:
    """Returns the address of a Debian archive: $DEBIAN_MIRROR, or the machine's own.

    Raises SetupError if neither is there.
    """
    if chosen := os.environ.get("DEBIAN_MIRROR"):
        return chosen
    fields = "$(REPO_URI) $(ORIGIN) $(LABEL)"
    command = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
    archives = [line.split(" ", 1) for line in run_quietly(command).stdout.splitlines() if line]
    # Origin and label are known if the machine has package lists, else the address must do.
    # Security updates and third parties have other labels, and addresses with other ends.
    own = [
        address
        for address, origin in archives
        if origin == "Debian Debian" or address.rstrip("/").endswith("/debian")
    ]
    if not own:
        raise SetupError(
            "apt's sources here name no Debian archive; give one's address in DEBIAN_MIRROR"
        )
    return own[0]


class Archive:
    """The packages of one architecture, with apt's lists and cache in a folder of ours.

    suite: a release of Debian; status: dpkg's list of installed packages, which are not unpacked;
    useful for packages of the machine's own release.

    Raises SetupError if the machine has no apt or no Debian keyring.
    """

    def __init__(
        self,
        folder: Path,
        architecture: str,
        sources: bool = False,
        suite: str = SUITE,
        status: Path = Path("/dev/null"),
    ) -> None:
        for program in ("apt-get", "dpkg-deb"):
            if not shutil.which(program):
                raise SetupError(f"no {program} here, so nothing can be downloaded from Debian")
        if not KEYRING.exists():
            raise SetupError(f"no {KEYRING} here, so Debian's signatures cannot be checked")
        self.folder = folder
        self.cache = folder / "cache"
        for made in ("lists/partial", "cache/archives/partial"):
            (folder / made).mkdir(parents=True, exist_ok=True)
        (folder / "debian.sources").write_text(
            f"Types: {'deb-src' if sources else 'deb'}\nURIs: {find_mirror()}\nSuites: {suite}\n"
            f"Components: main\nArchitectures: {architecture}\nSigned-By: {KEYRING}\n"
        )
        options = {
            "Dir::Etc::sourcelist": folder / "debian.sources",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State": folder,
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": status,
            "Dir::Cache": self.cache,
            "APT::Architecture": architecture,
            "APT::Architectures::": architecture,
            # Root's apt would read our folder as the user _apt, who may not.
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": "20",
            "Debug::NoLocking": "true",
        }
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self.apt = ["apt-get", "-q", "-y", *settings]
        # The exit status is ignored: hooks of the machine (cache cleaners) may fail for an
        # ordinary user. If the update itself failed, so does the first download.
        self.update_output = run_quietly([*self.apt, "update"], doing="asking Debian").stdout

    def _run(self, *arguments: str, cwd: Path | None = None) -> None:
        ended = run_quietly([*self.apt, *arguments], cwd, "downloading from Debian")
        if ended.returncode:
            said = self.update_output.splitlines() + ended.stdout.splitlines()
            reasons = [line for line in said if line.startswith(("E:", "W:"))]
            named = find_machine_cause("\n".join(said))
            reason = named or (reasons[0] if reasons else f"status {ended.returncode}")
            raise SetupError(f"apt-get {arguments[0]} failed: {reason}")

    def unpack(self, package: str, root: Path, dependencies: bool = False) -> None:
        """Unpacks a package, with its dependencies if asked for, into the folder `root`."""
        downloads = self.cache / "archives"
        if dependencies:
            self._run("install", "--download-only", package)
        else:
            self._run("download", package, cwd=downloads)
        for file in downloads.glob("*.deb"):
            run_step("dpkg-deb", "-x", str(file), str(root))

    def download(self, package: str) -> Path:
        """Downloads the .deb of a package and returns its path."""
        self._run("download", package, cwd=self.cache)
        return next(self.cache.glob(f"{package}_*.deb"))

    def download_source(self, package: str) -> Path:
        """Downloads the tar archive of a source package as its authors released it."""
        self._run("source", "--download-only", "--only-source", package, cwd=self.cache)
        return next(self.cache.glob(f"{package}_*.orig.tar.*z*"))
