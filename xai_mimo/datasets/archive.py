"""Published files in a zip archive: where they are looked for, how they are fetched, and what they must contain."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xai_mimo.core.errors import FileProblem, MissingDependency


@dataclass(frozen=True)
class Archive:
    """Files of one data set of the UCI Machine Learning Repository.

    The repository publishes no checksums that we know of. Those recorded are of copies whose data agree with
    independent copies; should an official file differ in bytes only (line ends, byte-order mark), it is refused, and
    the message says what to do. The archive's own checksum is not recorded: repacking would change it, and the files in
    it are checked.

    Attributes:
        name: of the data set and of its folder in ``$XAI_MIMO_DATA``.
        number: of the data set in the repository.
        url: of the archive.
        sha256: checksum of each file, by its name.
        refused: why a file with another checksum is likely to be met, and what else can be done with it.
    """

    name: str
    number: int
    url: str
    sha256: Mapping[str, str]
    refused: str = "the file is edited or cut short. Use the file of UCI data set {number}."

    def find(self, folder: str | os.PathLike[str] | None = None) -> dict[str, Path]:
        """Path of each file, checked.

        Args:
            folder: where the files lie. None: in ``$XAI_MIMO_DATA/<name>`` and, where that variable is not set, in the
                user's cache, into which the archive is downloaded once.
        Raises:
            FileProblem: no such file in the folder named, no network, or another checksum than the recorded one.
            MissingDependency: pooch is needed to download.
        """
        if folder is None and "XAI_MIMO_DATA" in os.environ:
            folder = Path(os.environ["XAI_MIMO_DATA"]) / self.name
        paths = self._download() if folder is None else {file: self._look(Path(folder), file) for file in self.sha256}
        return {file: self._checked(path, file) for file, path in paths.items()}

    def _look(self, folder: Path, file: str) -> Path:
        path = folder / file
        if not path.is_file():
            raise FileProblem(
                f"there is no {file} in '{folder}'; put the file of UCI data set {self.number} there, or name no "
                "folder (and unset XAI_MIMO_DATA) to have it downloaded."
            )
        return path

    def _download(self) -> dict[str, Path]:
        try:
            import pooch
        except ImportError as err:
            raise MissingDependency("downloading data needs pooch: pip install pooch") from err
        cache = Path(pooch.os_cache("xai_mimo"))
        try:
            unpacked = pooch.retrieve(
                self.url, known_hash=None, fname=f"{self.name}.zip", path=cache, processor=pooch.Unzip()
            )
        except (OSError, ValueError) as err:
            raise FileProblem(
                f"cannot download {self.url}: {err}. Fetch it by hand, unpack {', '.join(self.sha256)} into a folder "
                "and name that folder."
            ) from err
        paths = {Path(p).name: Path(p) for p in unpacked}
        for file in self.sha256:
            if file not in paths:
                held = ", ".join(map(str, unpacked)) or "nothing"
                raise FileProblem(f"the archive at {self.url} holds no {file}; it holds {held}.")
        return {file: paths[file] for file in self.sha256}

    def _checked(self, path: Path, file: str) -> Path:
        try:
            content = path.read_bytes()
        except OSError as err:
            raise FileProblem(f"cannot read '{path}': {err.strerror or err}.") from err
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256[file]:
            raise FileProblem(
                f"'{path}' has sha256 {digest}, not {self.sha256[file]}: {self.refused.format(number=self.number)}"
            )
        return path
