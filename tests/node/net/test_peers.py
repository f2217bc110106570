import pytest
from pydantic import ValidationError

from node.net import Destination

pytestmark = pytest.mark.verifies("SRS-018", level="unit", technique="bad-input")


def destination(**changes):
    return Destination(**{"ae_title": "PACS", "host": "127.0.0.1", "port": 104} | changes)


def test_a_destination_is_a_frozen_value():
    with pytest.raises(ValidationError):
        destination().port = 105
    assert destination(ae_title="  PACS ").ae_title == "PACS", "PS3.5 6.2: leading and trailing spaces do not count"


@pytest.mark.parametrize(
    "changes",
    [
        {"ae_title": ""},
        {"ae_title": "   "},
        {"ae_title": "SEVENTEEN LETTERS"},
        {"ae_title": "BACK\\SLASH"},
        {"ae_title": "LINE\nBREAK"},
        {"ae_title": "ÄRZTE"},
        {"calling_ae_title": ""},
        {"host": ""},
        {"port": 0},
        {"port": 65536},
        {"response_timeout_s": 0},
        {"maximum_pdu": 100},
        {"no_such_setting": 1},
    ],
)
def test_what_is_wrong_is_named(changes):
    with pytest.raises(ValidationError) as caught:
        destination(**changes)
    assert next(iter(changes)) in str(caught.value)
