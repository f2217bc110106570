"""What stands before a received data set in its file.

Built by hand and from the object alone: the same object must give the same bytes whoever sends it and whichever
version of this program receives it, for the inbox tells duplicates from conflicts by comparing bytes. So there is no
Source AE Title, no version, no time in it; changing one byte here makes a conflict of every object that is sent again.
"""

from __future__ import annotations

import struct

IMPLEMENTATION_CLASS_UID = "2.25.181825549781954967859447484705349917866"
"""Names this writer in (0002,0012), the same in every version. Its number is made as `derive_uid` makes one."""

_PREAMBLE = bytes(128) + b"DICM"
_META_VERSION = struct.pack("<HH2s2xL2s", 0x0002, 0x0001, b"OB", 2, b"\x00\x01")
_LONGEST_UI = 0xFFFE  # 16-bit length, even: PS3.5 7.1.2


def _ui(element: int, uid: str) -> bytes:
    """Encode a UID of group 0002 in Explicit VR Little Endian, padded with NUL to an even length (PS3.5 9.1)."""
    value = uid.encode("utf-8", "surrogatepass")
    value += b"\x00" * (len(value) % 2)
    if len(value) > _LONGEST_UI:
        raise ValueError("a UID of more than 65534 bytes cannot be written")
    return struct.pack("<HH2sH", 0x0002, element, b"UI", len(value)) + value


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return preamble, prefix and file meta information of an object.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid
        As the C-STORE request names them (Affected SOP Class and Instance UID).
    transfer_syntax_uid
        As negotiated for the data set.

    Returns
    -------
    bytes
        What comes before the data set in a DICOM file (PS3.10 7.1).

    Raises
    ------
    ValueError
        If a UID is too long to be written.
    """
    elements = b"".join(
        (
            _META_VERSION,
            _ui(0x0002, sop_class_uid),
            _ui(0x0003, sop_instance_uid),
            _ui(0x0010, transfer_syntax_uid),
            _ui(0x0012, IMPLEMENTATION_CLASS_UID),
        )
    )
    return _PREAMBLE + struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(elements)) + elements
