from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from node.demo.page import Study, write_page
from node.demo.truth import TrueLesion, Truth
from tests.node.demo import objects
from tests.node.demo.objects import SyntheticStudy

SECONDS = {"choose the series": 1.25, "outline the liver": 40.0}


class Reader(HTMLParser):
    """Collects what a reader sees, and what a browser would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.sources: list[str] = []
        self.cells: list[list[str]] = []
        self._style = self._cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        self.sources += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data"}]
        if tag == "tr":
            self.cells.append([])
        if tag in {"td", "th"}:
            self.cells[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.words.append(data)
        if self._cell:
            self.cells[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def pictures(self) -> list[NDArray[np.uint8]]:
        return [
            np.asarray(Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))))
            for source in self.sources
        ]


def page(study: SyntheticStudy, out: Path, **changes: object) -> tuple[str, Reader]:
    shown = Study("Study", study.images, [study.seg, study.sr], SECONDS, **changes)  # type: ignore[arg-type]
    write_page([shown], out / "report.html")
    html = (out / "report.html").read_text(encoding="utf-8")
    return html, Reader(html)


@pytest.fixture(scope="module")
def plain(synthetic: SyntheticStudy, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Reader]:
    """The page of the synthetic study: its text, and what a reader sees."""
    return page(synthetic, tmp_path_factory.mktemp("page"))


@pytest.mark.verifies("SRS-161", level="integration", technique="example")
def test_the_numbers_are_those_of_the_report(plain: tuple[str, Reader]) -> None:
    _, reader = plain

    assert "2 lesions in the liver" in reader.text
    rows = {row[0]: [cell.strip() for cell in row[1:]] for row in reader.cells if row[0].startswith("L0")}
    for name, box, axis in objects.LESIONS:
        volume, long_axis = f"{objects.box_ml(box):.1f}", f"{objects.length_mm(axis):.1f}"
        assert rows[name][:2] == [volume, long_axis]
        assert rows[name][4] == str(101 + box[0].start)  # Instance Number
    assert f"{objects.box_ml(objects.LIVER):.0f} ml" in reader.text
    assert "2.0 %" in reader.text
    assert "36 mm, L01" in reader.text
    assert "choose the series 1.2 s outline the liver 40.0 s" in reader.text
    assert "Test reader 1.0" in reader.text
    assert "sha256=ffffffffffff…" in reader.text


@pytest.mark.verifies("SRS-161", level="integration", technique="example")
def test_it_says_what_it_is_not(plain: tuple[str, Reader]) -> None:
    _, reader = plain

    assert "UNVERIFIED" in reader.text
    assert "NOT FOR CLINICAL USE" in reader.text


@pytest.mark.verifies("SRS-161", "SRS-163", level="integration", technique="adversarial")
def test_notes_are_shown_with_their_code_and_escaped(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    html, reader = page(synthetic, tmp_path, remarks=["UIDs were supplied."])

    assert "The dome is missing. liver-cut-off" in reader.text
    assert "UIDs were supplied." in reader.text
    assert "<b>escape</b>" not in html
    assert "to say & <b>escape</b>." in reader.text


@pytest.mark.verifies("SRS-163", level="integration", technique="adversarial")
def test_no_name_appears_and_of_the_patient_id_only_the_end(
    synthetic: SyntheticStudy, plain: tuple[str, Reader]
) -> None:
    html, reader = plain

    assert "PHANTOM" not in html.upper().replace("NO PHANTOM", "")
    assert "ID ••••0123" in reader.text
    assert str(synthetic.headers[0].StudyInstanceUID) not in html


@pytest.mark.verifies("SRS-163", level="integration", technique="boundary")
def test_a_short_patient_id_is_hidden_whole(tmp_path: Path) -> None:
    _, reader = page(objects.write_study(tmp_path / "study", patient_id="4711"), tmp_path)

    assert "ID •••• " in reader.text + " "
    assert "4711" not in reader.text


@pytest.mark.verifies("SRS-163", level="integration", technique="adversarial")
def test_a_hostile_description_is_text(tmp_path: Path) -> None:
    study = objects.write_study(tmp_path / "study")
    for path in study.images:
        dataset = dcmread(path)
        dataset.SeriesDescription = "<script>alert(1)</script>"
        dataset.save_as(path)

    html, _ = page(study, tmp_path)

    assert "<script" not in html


@pytest.mark.verifies("SRS-163", level="integration", technique="example")
def test_it_needs_nothing_but_itself(plain: tuple[str, Reader]) -> None:
    html, reader = plain

    assert reader.sources
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    assert not re.search(r"https?:|@import|url\(|<script", html)


def amber(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    red, green, blue = (image[..., channel].astype(int) for channel in range(3))
    return (red - blue > 120) & (green - blue > 60)


@pytest.mark.verifies("SRS-162", level="integration", technique="phantom")
def test_a_lesion_is_drawn_where_it_is(plain: tuple[str, Reader]) -> None:
    """The overview shows the slice with most liver; all are equal here, so it is the first, without a lesion."""
    _, reader = plain
    overview, *others = reader.pictures()

    assert not amber(overview).any()
    drawn = amber(others[0])
    rows, columns = np.nonzero(drawn)
    # L01 is 6 columns of 2 mm by 10 rows of 4 mm; the picture is as wide as 1.7 of its long axis of 36 mm.
    mm_per_pixel = 1.7 * objects.length_mm(objects.LESIONS[0][2]) / drawn.shape[1]
    assert np.ptp(columns) * mm_per_pixel == pytest.approx(12.0, abs=1.0)
    assert np.ptp(rows) * mm_per_pixel == pytest.approx(40.0, abs=1.0)
    # Its middle: columns 12 to 17 about the long axis in column 14, half a column to the right.
    assert (columns.min() + columns.max()) / 2 == pytest.approx((drawn.shape[1] - 1) / 2 + 1.0 / mm_per_pixel, abs=2)
    assert (rows.min() + rows.max()) / 2 == pytest.approx((drawn.shape[0] - 1) / 2, abs=2)


@pytest.mark.verifies("SRS-162", level="integration", technique="phantom")
def test_the_picture_is_the_same_when_the_patient_lay_the_other_way_round(tmp_path: Path) -> None:
    straight = page(objects.write_study(tmp_path / "a"), tmp_path)[1].pictures()[1].astype(int)
    turned = page(objects.write_study(tmp_path / "b", orientation=(-1, 0, 0, 0, 1, 0)), tmp_path)[1].pictures()[1]

    assert np.abs(straight - turned[:, ::-1]).max() <= 1
    assert np.abs(straight - turned).max() > 50


@pytest.mark.verifies("SRS-161", level="integration", technique="boundary")
def test_a_study_without_lesions_says_that_it_was_searched(tmp_path: Path) -> None:
    _, reader = page(objects.write_study(tmp_path / "study", lesions=0), tmp_path)

    assert "No lesion found in the liver" in reader.text
    assert len(reader.pictures()) == 7
    assert not any(amber(picture).any() for picture in reader.pictures())


@pytest.mark.verifies("SRS-166", level="integration", technique="phantom")
def test_measured_stands_beside_true(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    # L01's long axis lies in slice 2, rows 20 to 29, column 14.
    there = TrueLesion("A", 4.8, 37.5, (28.0, 98.0, 10.0))
    elsewhere = TrueLesion("B", 3.0, 12.0, (500.0, 0.0, 0.0))
    truth = Truth(objects.box_ml(objects.LIVER) / 1.1, (there, elsewhere))

    _, reader = page(synthetic, tmp_path, truth=truth)

    rows = {row[0]: [cell.strip() for cell in row[1:]] for row in reader.cells}
    assert rows["L01"][-3:] == ["4.8", "+0 %", "37.5"]
    assert rows["L02"][-1] == "no lesion was drawn here"
    assert rows["not found"][-3:] == ["3.0", "missed", "12.0"]
    assert rows["Liver"][-2] == "+10 %"
    assert "PHANTOM: a drawn patient, no person" in reader.text


@pytest.mark.verifies("SRS-162", level="integration", technique="bad-input")
def test_images_that_are_not_there_are_an_error(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    study = Study("Study", synthetic.images[1:], [synthetic.seg, synthetic.sr], {})

    with pytest.raises(LookupError, match="1 of the images"):
        write_page([study], tmp_path / "report.html")


@pytest.mark.verifies("SRS-161", level="integration", technique="boundary")
def test_what_does_not_fit_on_the_sheet_is_counted(
    synthetic: SyntheticStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.demo.page._MOST_ROWS", 1)

    _, reader = page(synthetic, tmp_path)

    assert "2 lesions in the liver" in reader.text
    assert f"And 1 smaller, {objects.box_ml(objects.LESIONS[1][1]):.1f} ml together" in reader.text
    assert [row[0] for row in reader.cells] == ["Lesion", "L01"]


@pytest.mark.verifies("SRS-162", level="integration", technique="example")
def test_front_and_back_are_doubted_where_the_report_doubts_them(tmp_path: Path) -> None:
    study = objects.write_study(tmp_path / "study", notes=("[ap-mirrored-corrected] The spine lies in front.",))

    _, reader = page(study, tmp_path)

    assert "A? P? R L" in reader.text
    assert "which the pixels contradict" in reader.text


@pytest.mark.verifies("SRS-161", level="integration", technique="example")
def test_two_studies_are_two_sheets(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    studies = [Study(title, synthetic.images, [synthetic.seg, synthetic.sr], {}) for title in ("Visit 2", "Visit 1")]

    sheets = write_page(studies, tmp_path / "report.html")

    assert [sheet.title for sheet in sheets] == ["Visit 2", "Visit 1"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count("<article") == 2
