"""Groups of an HDF5 file that nobody vouches for: objects are looked up by name, and only hard links are followed."""

from functools import cached_property

from ser_store_h5.errors import FormatError
from ser_store_h5.hdf5 import attributes
from ser_store_h5.hdf5.arrays import Shape, StoredArray
from ser_store_h5.hdf5.bytes import FileBytes, StructureError
from ser_store_h5.hdf5.links import MAX_LINKS, Links, find_links
from ser_store_h5.hdf5.objects import Object, read_object

MAX_ENTRIES = MAX_LINKS


class Group:
    """One group of an open file. Made by :func:`.files.open_file`.

    Attributes:
        where: what messages call it: the file, and the group in it where it is not the root.
        file_bytes: size of the file.
    """

    def __init__(self, file: FileBytes, node: Object, where: str, *, prefix: str = "") -> None:
        self._file, self._node, self._prefix = file, node, prefix
        self.where, self.file_bytes = where, file.size

    @cached_property
    def _links(self) -> Links:
        try:
            return find_links(self._file, self._node)
        except StructureError as problem:
            inside = f"{self._prefix.removesuffix('/')}: " if self._prefix else ""
            raise type(problem)(f"{inside}{problem}") from problem

    def _describe(self, name: str) -> str:
        return f"{self.where}: {self._prefix}{name}"

    def _find(self, name: str, expected: str) -> Object | None:
        """The object of this name, or None where there is no such name.

        Raises:
            FormatError: if it is a link to elsewhere.
        """
        key = name.encode(errors="surrogateescape")
        if key not in self._links:
            return None
        address = self._links[key]
        if address is None:
            raise FormatError(f"{self._describe(name)}: is a link: expected a {expected} inside the file")
        return read_object(self._file, address)

    def __contains__(self, name: str) -> bool:
        return name.encode(errors="surrogateescape") in self._links

    def names(self) -> list[str]:
        """What is in the group, ascending; what it is, :meth:`array` and :meth:`group` tell."""
        return sorted(name.decode(errors="surrogateescape") for name in self._links)

    def text(self, name: str) -> str:
        return attributes.read_text(self._node.attributes, name, self.where)

    def integer(self, name: str) -> int:
        return attributes.read_integer(self._node.attributes, name, self.where)

    def group(self, name: str, *, where: str | None = None) -> "Group | None":
        """The group of this name, or None; ``where``: what messages call it, where it stands for a file of its own.

        Raises:
            FormatError: if there is anything else under the name.
        """
        node = self._find(name, "group")
        if node is None:
            return None
        if not node.is_group:
            raise FormatError(f"{self._describe(name)}: expected a group")
        if where is not None:
            return Group(self._file, node, where)
        return Group(self._file, node, self.where, prefix=f"{self._prefix}{name}/")

    def array(self, name: str, *, kinds: tuple[str, ...], shape: Shape) -> StoredArray:
        """The dataset of this name; see :class:`.arrays.StoredArray`.

        Raises:
            FormatError: if it is missing, or not what FORMAT.md says.
        """
        where = self._describe(name)
        node = self._find(name, "dataset")
        if node is None:
            raise FormatError(f"{where} is missing")
        if not node.is_dataset:
            raise FormatError(f"{where}: expected a dataset")
        try:
            return StoredArray(self._file, node, where, kinds=kinds, shape=shape)
        except StructureError as problem:
            raise type(problem)(f"{self._prefix}{name}: {problem}") from problem
