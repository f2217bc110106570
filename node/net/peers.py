"""Who a peer is: AE titles, addresses, time-outs. Plain frozen values, so that a setting cannot change under a send."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LARGE_PDU = 131072
"""Maximum PDU length in bytes that we offer (PS3.8 D.1). pynetdicom's own 16382 costs a third of the throughput."""


def _ae_title(value: str) -> str:
    """Hold a title to PS3.5 6.2 (VR AE): 1 to 16 characters, no backslash, not only spaces."""
    title = value.strip(" ")
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError("an AE title is 1 to 16 printable ASCII characters without a backslash")
    return title


AETitle = Annotated[str, AfterValidator(_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Destination(BaseModel):
    """A DICOM node that we send to.

    Attributes
    ----------
    ae_title
        The AE title that we call.
    host, port
        Its address.
    calling_ae_title
        The AE title that we call ourselves; most PACS know their peers by it.
    connection_timeout_s
        Seconds to wait for the TCP connection.
    association_timeout_s
        Seconds to wait for the answer to an association request or release.
    response_timeout_s
        Seconds to wait for the response to one C-STORE or C-ECHO. A PACS that files synchronously needs many.
    maximum_pdu
        The longest PDU in bytes that we accept from it; what we send is bounded by its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ae_title: AETitle
    host: Annotated[str, Field(min_length=1)]
    port: Port
    calling_ae_title: AETitle = "OVERREAD"
    connection_timeout_s: Seconds = 10.0
    association_timeout_s: Seconds = 30.0
    response_timeout_s: Seconds = 60.0
    maximum_pdu: Annotated[int, Field(ge=4096)] = LARGE_PDU
