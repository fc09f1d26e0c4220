"""The page as a person uses it, in a real browser."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import Limits
from crosslight.gallery.service.users import Role, UsersFile
from crosslight.times import text_of
from tests.gallery.browsing import browser, running
from tests.gallery.served import (
    CAMS,
    EPOCH_S,
    PEOPLE,
    encoded,
    made_searcher,
    picture,
    row_id,
    tracked,
)
from tests.last_resort import HANG_MS, HANG_S

if TYPE_CHECKING:
    from playwright.sync_api import Page

api = pytest.importorskip("playwright.sync_api", reason="say: pip install 'crosslight[dev]'")
expect = api.expect

TOKEN = "correct-horse-battery-staple"
PLENTY = Limits(searches_per_minute=10**6, upload_mib=200_000 / 2**20, body_s=HANG_S)
PERSON = 5
SHAPE = "(i) => i.decode().then(() => i.naturalHeight / i.naturalWidth)"
"""Whom the tests look for, chosen beforehand."""

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    expect.set_options(timeout=HANG_MS)
    with browser() as started:
        yield started
    expect.set_options(timeout=None)


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    searcher = made_searcher(folder / "people.exact", drawing=True)
    with running(create_app(searcher, limits=PLENTY)) as found:
        yield found


@pytest.fixture
def visit(chromium, address: str) -> Iterator[Open]:
    """Opens the page; the test fails if the page has complained or asked another site."""
    complaints: list[str] = []
    contexts = []

    def hear(kind: str, text: str) -> None:
        # Refused requests are errors too; some tests provoke them.
        if kind == "warning" or "Content Security Policy" in text:
            complaints.append(text)

    def start(where: str = address, **options: Any) -> Page:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = chromium.new_context(**options)
        context.set_default_timeout(HANG_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: hear(said.type, said.text))
        site = "/".join(where.split("/")[:3]) + "/"
        page.on(
            "request",
            lambda asked: (
                asked.url.startswith((site, "data:", "blob:")) or complaints.append(asked.url)
            ),
        )
        page.goto(where)
        return page

    yield start
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def page(visit: Open) -> Page:
    return visit()


def upload(page: Page, person: int = PERSON, cam: int = 3, name: str = "night.png") -> None:
    content = encoded(picture(person, cam))
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})
    expect(page.locator("#status")).to_contain_text("nearest of")


def cards(page: Page) -> Any:
    return page.locator("#cards .card:not(.skeleton)")


def test_an_infrared_upload_finds_its_person_first(page: Page) -> None:
    expect(page.locator("#facts")).to_contain_text(f"{PEOPLE * len(CAMS)} images, {PEOPLE} people")
    upload(page)
    first = cards(page).first
    expect(first).to_contain_text(f"person {PERSON}")
    expect(first.get_by_role("meter")).to_have_attribute("aria-valuetext", re.compile("%"))
    expect(page.locator("#query-caption")).to_have_text("night.png · infrared, guessed")
    expect(page.locator("#verdict")).to_contain_text("near enough to be the same person")
    for shown in (page.locator("#query-picture"), first.locator("img")):
        assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32


def test_what_strangers_find_is_said_with_the_verdict(page: Page) -> None:
    upload(page)
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text("find somebody as near in 0.4 % of their searches of 24 images")
    expect(verdict).to_contain_text("At 1 % false alarms about 80 % of the images of people")
    upload(page, person=99, cam=1)
    expect(verdict).to_contain_text("Nobody in the gallery is near enough.")
    expect(verdict).not_to_contain_text("says little")


def test_two_pictures_are_compared(page: Page) -> None:
    page.get_by_role("button", name="Two pictures").click()
    answer = page.locator("#same-answer")
    expect(answer).to_have_text("Choose two pictures of a person each.")

    def give(side: str, person: int, cam: int) -> None:
        file = {"name": "a.png", "mimeType": "image/png", "buffer": encoded(picture(person, cam))}
        page.set_input_files(f"#same-{side}-file", file)
        shown = page.locator(f"#same-{side}-picture")
        assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32

    give("first", PERSON, 1)
    give("second", PERSON, 3)
    expect(answer).to_contain_text("The same person, it seems.")
    expect(answer).to_contain_text(
        re.compile(r"95 %: .* to .*\), if it was as likely as not before")
    )
    expect(answer).to_contain_text("taken for visible and infrared")
    give("second", PERSON + 1, 2)
    expect(answer).to_contain_text("Different people, it seems.")
    broken = {"name": "b.png", "mimeType": "image/png", "buffer": b"no image"}
    page.set_input_files("#same-first-file", broken)
    expect(answer).to_contain_text("The upload ")
    large = {"name": "c.png", "mimeType": "image/png", "buffer": bytes(150_000)}
    page.set_input_files("#same-first-file", large)
    page.set_input_files("#same-second-file", large)
    expect(answer).to_contain_text("The pictures have 0.286 MiB, more than the 0.191 MiB")
    page.locator("#same").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Two pictures").click()
    expect(answer).to_have_text("Choose two pictures of a person each.")
    expect(page.locator("#same-first-picture")).to_be_hidden()


Scene = Callable[..., dict[str, Any]]
BOXES = "#scene-boxes .person"


@pytest.fixture
def scene(drawn_people: list[Image.Image]) -> Scene:
    """A street as a phone sends it: larger than the page may send, with people drawn into it."""

    def file(*people: tuple[int, int, float], size: tuple[int, int] = (2000, 1250)) -> Any:
        street = Image.new("RGB", size, (120, 120, 120))
        for number, (left, top, scale) in enumerate(people):
            person = drawn_people[number % 2]
            wide, high = round(person.width * scale), round(person.height * scale)
            street.paste(person.resize((wide, high), Image.Resampling.LANCZOS), (left, top))
        content = encoded(street, quality=95, kind="JPEG")
        return {"name": "street.jpg", "mimeType": "image/jpeg", "buffer": content}

    return file


LISTEN = """window.sent = [];
const [open, send] = [XMLHttpRequest.prototype.open, XMLHttpRequest.prototype.send];
XMLHttpRequest.prototype.open = function (way, to) { this.to = to; open.call(this, way, to); };
XMLHttpRequest.prototype.send = function (form) {
  window.sent.push([this.to, form.get("image")]);
  send.call(this, form);
};"""
SENT = """async () => Promise.all(sent.map(async ([to, file]) => {
  const { width, height } = await createImageBitmap(file);
  return [to, width, height, file.size];
}))"""


def test_of_a_street_the_person_is_chosen_and_cut_from_the_picture_as_it_was(
    page: Page, scene: Scene
) -> None:
    page.add_init_script(LISTEN)
    page.reload()
    page.set_input_files("#file", scene((200, 300, 4), (1300, 240, 4)))
    expect(page.locator(BOXES)).to_have_count(2)
    expect(page.locator("#scene-say")).to_have_text("Choose a person, or draw a box.")
    expect(page.locator(BOXES).first).to_be_focused()
    page.get_by_role("button", name="Person 2 of 2").click()
    expect(page.locator("#scene")).to_be_hidden()
    expect(page.locator("#results")).to_be_focused()
    expect(page.locator("#query-caption")).to_contain_text("street.jpg, person 2 · visible")
    expect(cards(page)).to_have_count(20)
    (looked, *shrunk, size), (searched, width, height, _) = page.evaluate(SENT)
    assert (looked, searched) == ("api/boxes", "api/search")
    assert max(shrunk) <= 1600
    assert size <= PLENTY.upload_bytes
    # 360 x 720 were pasted, with some background around the person.
    assert 200 < width < 420
    assert 550 < height < 820
    page.get_by_role("button", name="Somebody else in this picture").click()
    expect(page.locator(BOXES)).to_have_count(2)
    page.get_by_role("button", name="Whole picture").click()
    expect(page.locator("#query-caption")).to_contain_text("street.jpg, whole picture")
    expect(page.locator("#query-caption")).to_contain_text("guessed")
    assert [asked[0] for asked in page.evaluate(SENT)] == ["api/boxes", "api/search", "api/search"]


def test_the_only_person_of_a_street_is_searched_at_once(page: Page, scene: Scene) -> None:
    page.set_input_files("#file", scene((700, 200, 4)))
    expect(page.locator("#query-caption")).to_have_text(re.compile("street.jpg · visible"))
    expect(page.locator("#scene")).to_be_hidden()
    expect(page.get_by_role("button", name="Somebody else in this picture")).to_be_visible()
    shape = page.locator("#query-picture").evaluate(SHAPE)
    assert shape > 1.5
    upload(page)
    expect(page.locator("#open-scene")).to_be_hidden()


def test_a_box_is_drawn_with_the_pointer_or_with_keys(page: Page, scene: Scene) -> None:
    page.set_input_files("#file", scene(size=(1000, 625)))
    said = page.locator("#scene-say")
    expect(said).to_contain_text("Nobody was found. Draw a box")
    search = page.get_by_role("button", name="Search this box")
    expect(search).to_be_disabled()
    area = page.locator("#scene-picture").bounding_box()
    at = lambda x, y: (area["x"] + x * area["width"], area["y"] + y * area["height"])  # noqa: E731
    page.mouse.move(*at(0.2, 0.1))
    page.mouse.down()
    page.mouse.move(*at(0.205, 0.12), steps=3)
    page.mouse.up()
    expect(said).to_contain_text("nobody is recognised in fewer than 12 x 24")
    expect(search).to_be_disabled()
    page.mouse.move(*at(0.4, 0.2))
    page.mouse.down()
    page.mouse.move(*at(0.2, 0.9), steps=3)
    page.mouse.move(area["x"] + 0.2 * area["width"], area["y"] + 2 * area["height"], steps=3)
    page.mouse.up()
    expect(said).to_contain_text("A box of 200 x 500 pixels")
    expect(page.locator("#scene")).to_be_visible()
    page.get_by_role("button", name="Draw a box").click()
    expect(said).to_contain_text("A box of 300 x 438 pixels")
    page.keyboard.press("Shift+ArrowLeft")
    expect(said).to_contain_text("A box of 280 x 438 pixels")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#scene-frame")).to_have_attribute("style", re.compile(r"left: 7[012]"))
    page.keyboard.press("Enter")
    expect(page.locator("#query-caption")).to_contain_text("street.jpg, drawn box")
    shape = page.locator("#query-picture").evaluate(SHAPE)
    assert shape == pytest.approx(437.5 / 280, rel=0.02)


def test_people_who_are_too_small_are_said_to_be(page: Page, scene: Scene) -> None:
    content = {"width": 100, "height": 60}
    small = {"left": 5, "top": 5, "right": 10, "bottom": 15, "score": 0.9}
    large = {"left": 50, "top": 5, "right": 80, "bottom": 55, "score": 0.9}
    answer = lambda *boxes: lambda route: route.fulfill(json={**content, "boxes": list(boxes)})  # noqa: E731
    page.route("**/api/boxes", answer(small, large))
    page.set_input_files("#file", scene(size=(100, 60)))
    expect(page.locator(BOXES)).to_have_count(2)
    page.get_by_role("button", name="Person 1 of 2, too small").click()
    expect(page.locator("#scene-say")).to_have_text(
        "This box has 5 x 10 pixels; nobody is recognised in fewer than 12 x 24."
    )
    page.keyboard.press("Escape")
    page.unroute("**/api/boxes")
    page.route("**/api/boxes", answer(small))
    page.set_input_files("#file", scene(size=(100, 60)))
    expect(page.locator("#scene-say")).to_contain_text("too small to be recognised")


def test_a_service_that_cannot_look_for_people_still_searches(page: Page, scene: Scene) -> None:
    page.route("**/api/boxes", lambda route: route.abort())
    page.set_input_files("#file", scene((200, 300, 4)))
    expect(page.locator("#scene-say")).to_contain_text("The service does not answer.")
    expect(page.locator("#scene-say")).to_contain_text("Draw a box around the person")
    page.get_by_role("button", name="Whole picture").click()
    expect(cards(page)).to_have_count(20)


def test_what_is_sent_is_shown_before_the_answer_and_how_far_it_has_come(page: Page) -> None:
    page.add_init_script(
        """const send = XMLHttpRequest.prototype.send;
        XMLHttpRequest.prototype.send = function (form) {
          window.later = () => send.call(this, form);
          this.upload.dispatchEvent(
            new ProgressEvent("progress", { lengthComputable: true, loaded: 40, total: 100 }));
        };"""
    )
    page.reload()
    expect(page.locator("#start-cards .pick")).not_to_have_count(0)
    sent = {"name": "night.png", "mimeType": "image/png", "buffer": encoded(picture(PERSON, 3))}
    page.set_input_files("#file", sent)
    expect(page.locator("#status")).to_have_text("Sending … 40 %")
    shown = page.locator("#query-picture")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
    page.evaluate("later()")
    expect(page.locator("#status")).to_contain_text("nearest of")


def test_a_picture_that_shows_nobody_is_warned_about(page: Page) -> None:
    gray = encoded(Image.new("RGB", (64, 128), (90, 90, 90)))
    page.set_input_files("#file", {"name": "gray.png", "mimeType": "image/png", "buffer": gray})
    expect(page.locator("#verdict")).to_contain_text("This list means nothing.")
    expect(page.locator("#verdict")).to_contain_text("is of one gray and shows nobody")
    page.get_by_role("button", name="Two pictures").click()
    for side in ("first", "second"):
        sent = {"name": "gray.png", "mimeType": "image/png", "buffer": gray}
        page.set_input_files(f"#same-{side}-file", sent)
    expect(page.locator("#same-answer")).to_contain_text("This answer means nothing. The first")


def test_filters_by_camera_and_light(page: Page) -> None:
    upload(page)
    page.get_by_role("checkbox", name="camera 2").check(force=True)
    expect(page.locator("#status")).to_contain_text(f"{PEOPLE} nearest of {PEOPLE} images")
    assert set(page.locator("#cards .badge:nth-child(2)").all_text_contents()) == {"cam 2"}
    expect(cards(page).first).to_contain_text(f"person {PERSON}")
    page.get_by_role("checkbox", name="infrared").check(force=True)
    expect(page.locator("#nothing-title")).to_have_text("No image fits these filters")
    page.locator("#nothing-reset").click()
    expect(cards(page)).to_have_count(20)
    expect(page.locator("#reset")).to_be_disabled()


def test_filters_by_time(page: Page) -> None:
    upload(page)
    whole = page.locator("#since").get_attribute("min")
    page.locator("#until").fill(whole)
    page.locator("#until").dispatch_event("change")
    expect(cards(page)).to_have_count(1)
    expect(cards(page).first).to_contain_text("person 0")


def test_times_are_utc_wherever_the_browser_is(visit: Open) -> None:
    page = visit(timezone_id="Asia/Tokyo")
    upload(page)
    first = text_of(EPOCH_S).removesuffix("Z")
    assert page.locator("#since").get_attribute("min") == first
    page.locator("#until").fill(first)
    page.locator("#until").dispatch_event("change")
    expect(cards(page)).to_have_count(1)
    expect(cards(page).first).to_contain_text(f"{first.replace('T', ' ')} UTC")


def test_a_click_on_a_result_searches_from_it_and_back_returns(page: Page) -> None:
    upload(page)
    cards(page).nth(1).locator(".pick").click()
    expect(page.locator("#query-caption")).to_contain_text(f"person {PERSON} · camera")
    assert "row=" in page.url
    ids = cards(page).evaluate_all("all => all.map(card => card.dataset.row)")
    assert re.search(rf"row=p{PERSON}", page.url)
    assert all(page.url.find(one) < 0 for one in ids)
    page.locator("#back").click()
    expect(page.locator("#query-caption")).to_contain_text("night.png")
    page.go_back()
    expect(page.locator("#start")).to_be_visible()


def test_the_address_of_a_search_from_a_row_can_be_opened_again(visit: Open, address: str) -> None:
    page = visit(f"{address}#row={row_id(PERSON, 3).replace('&', '%26').replace(' ', '+')}&cam=1")
    expect(cards(page)).to_have_count(PEOPLE)
    expect(cards(page).first).to_contain_text(f"person {PERSON}")
    expect(page.get_by_role("checkbox", name="camera 1")).to_be_checked()


def test_the_gallery_opens_when_it_was_asked_for_before_it_was_known(page: Page) -> None:
    page.add_init_script(
        """const ask = fetch;
        window.asked = new Promise((tell) => {
          window.fetch = async (address, ...rest) => {
            if (address === "api/gallery") await new Promise((answer) => tell(answer));
            return ask(address, ...rest);
          };
        });"""
    )
    page.reload()
    page.locator("#open-picker").click()
    expect(page.locator("#picker")).to_be_hidden()
    page.evaluate("asked.then((answer) => answer())")
    expect(page.locator("#picker-count")).to_contain_text("images")


def test_someone_is_picked_from_the_gallery(page: Page) -> None:
    page.locator("#open-picker").click()
    expect(page.locator("#picker-count")).to_contain_text(f"of {PEOPLE * len(CAMS)} images")
    page.locator("#picker-light").select_option("infrared")
    expect(page.locator("#picker-count")).to_have_text(f"{PEOPLE} of {PEOPLE} images")
    page.locator("#picker-cards .pick").nth(PERSON).click()
    expect(page.locator("#picker")).to_be_hidden()
    expect(page.locator("#results")).to_be_focused()
    expect(cards(page).first).to_contain_text(f"person {PERSON}")


@pytest.fixture
def own(visit: Open, tmp_path: Path) -> Iterator[Page]:
    """The page of a gallery that a test may change."""
    searcher = made_searcher(tmp_path / "people.exact")
    with running(create_app(searcher, limits=PLENTY)) as address:
        page = visit(address)
        yield page
        page.context.close()


def test_marks_are_kept_in_the_store_and_exported(own: Page, visit: Open) -> None:
    upload(own, name="=danger.png")
    cards(own).nth(0).get_by_role("button", name="Right").click()
    cards(own).nth(5).get_by_role("button", name="Wrong").click()
    cards(own).nth(6).get_by_role("button", name="Wrong").click()
    cards(own).nth(6).get_by_role("button", name="Wrong").click()
    expect(own.locator("#marks-count")).to_have_text("1 right, 1 wrong")
    with own.expect_download() as started:
        own.locator("#export").click()
    assert started.value.suggested_filename == "marks-people.exact.csv"
    text = Path(started.value.path()).read_text(encoding="utf-8")
    right, wrong = csv.DictReader(StringIO(text))
    assert (right["mark"], wrong["mark"]) == ("right", "wrong")
    assert right["pid"] == str(PERSON)
    assert (right["rank"], right["query_modality"]) == ("1", "infrared")
    assert right["query_file"] == "'=danger.png"
    assert re.fullmatch("[0-9a-f]{64}", right["query_sha256"])
    own.reload()
    expect(own.locator("#marks-count")).to_have_text("1 right, 1 wrong")
    upload(own, name="=danger.png")
    expect(cards(own).nth(0)).to_have_class(re.compile("is-right"))
    other = visit(own.url)  # another browser
    upload(other)
    expect(cards(other).nth(5)).to_have_class(re.compile("is-wrong"))
    other.context.close()
    own.on("dialog", lambda dialog: dialog.accept())
    own.locator("#clear-marks").click()
    expect(own.locator("#marks")).to_be_hidden()
    expect(cards(own).nth(0)).not_to_have_class(re.compile("is-right"))


def who(page: Page, place: int) -> Any:
    cards(page).nth(place).get_by_role("button", name="Who is").click()
    dialog = page.locator("#who")
    expect(dialog).to_be_visible()
    return dialog


def test_somebody_is_named_on_the_page(own: Page) -> None:
    upload(own)
    dialog = who(own, 0)
    expect(dialog.get_by_label("Name")).to_be_focused()
    expect(dialog.get_by_label(f"All 3 images of person {PERSON}")).to_be_checked()
    dialog.get_by_label("Name").fill("Anna")
    dialog.get_by_label("Note").fill("red bag\nlimps")
    own.keyboard.press("Tab")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    for place in range(3):
        expect(cards(own).nth(place)).to_contain_text("Anna")
    expect(cards(own).nth(0).locator(".edit")).to_be_focused()
    own.keyboard.press("n")
    expect(dialog.get_by_label("Note")).to_have_value("red bag\nlimps")
    dialog.get_by_role("button", name="Close").click()
    cards(own).nth(1).locator(".pick").click()
    expect(own.locator("#query-caption")).to_contain_text("Anna")


def test_a_picture_is_given_to_somebody_else_and_two_become_one(own: Page) -> None:
    upload(own)
    dialog = who(own, 2)
    dialog.get_by_label("This image alone").check()
    dialog.get_by_label("Name").fill("Bob")
    dialog.get_by_role("button", name="Save").click()
    expect(cards(own).nth(2)).to_contain_text("Bob")
    expect(cards(own).nth(1)).to_contain_text(f"person {PERSON}")
    dialog = who(own, 0)
    dialog.get_by_label("Name").fill("bob")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator("#who-said")).to_have_text("Bob is another person already, with 1 image.")
    dialog.get_by_role("button", name="They are one: merge with Bob").click()
    expect(cards(own).nth(0)).to_contain_text("Bob")
    expect(own.locator("#facts")).to_contain_text(f"{PEOPLE} people")


def test_what_the_service_refuses_is_said_in_the_dialog(own: Page) -> None:
    upload(own)
    dialog = who(own, 0)
    dialog.get_by_label("Name").fill("12")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator("#who-said")).to_contain_text("'12' is no name")
    own.route("**/api/person", lambda route: route.abort())
    dialog.get_by_label("Name").fill("Anna")
    expect(dialog.locator("#who-said")).to_have_text("")
    own.keyboard.press("Enter")
    expect(dialog.locator("#who-said")).to_contain_text("The service does not answer")
    expect(dialog.get_by_role("button", name="Save")).to_be_enabled()


def test_people_are_listed_and_searched_from(own: Page) -> None:
    own.locator("#open-people").click()
    dialog = own.locator("#people")
    expect(own.locator("#people-count")).to_have_text(f"{PEOPLE} people; 0 images of nobody known")
    expect(dialog.locator(".person-line")).to_have_count(PEOPLE)
    dialog.get_by_role("button", name="Name or note of person 3").click()
    own.locator("#who").get_by_label("Name").fill("Carla")
    own.locator("#who").get_by_role("button", name="Save").click()
    expect(dialog.locator(".person-line").first).to_contain_text("Carla")
    expect(dialog.locator(".person-line").first).to_contain_text(
        "3 images · cam 1, cam 2, cam 3 · "
    )
    dialog.get_by_role("button", name="Search from Carla").click()
    expect(dialog).to_be_hidden()
    expect(own.locator("#query-caption")).to_contain_text("Carla")
    expect(cards(own).first).to_contain_text("Carla")


def test_seconds_of_a_recording_may_look_like_a_year(visit: Open, tmp_path: Path) -> None:
    with running(create_app(tracked(tmp_path), limits=PLENTY)) as address:
        page = visit(address)
        page.locator("#until").fill("2000")
        page.locator("#until").dispatch_event("change")
        upload(page)
        expect(page.locator("#status")).to_contain_text("9 nearest of 9 images")
        page.context.close()


def test_tracks_of_one_person_are_proposed_and_decided(visit: Open, tmp_path: Path) -> None:
    with running(create_app(tracked(tmp_path), limits=PLENTY)) as address:
        page = visit(address)
        page.locator("#open-people").click()
        pairs = page.locator("#people-pairs .pair-line")
        expect(pairs).to_have_count(1)
        expect(pairs).to_contain_text("track a and track b")
        pairs.get_by_role("button", name="One person").click()
        expect(page.locator("#people-pairs-box")).to_be_hidden()
        expect(page.locator("#people-list .person-line")).to_have_text(re.compile("person 1"))
        expect(page.locator("#people-list .person-line")).to_contain_text("6 images")
        page.context.close()


def test_who_may_only_search_is_shown_nothing_to_change(visit: Open, tmp_path: Path) -> None:
    users = UsersFile(tmp_path / "users.txt")
    token = users.add("sam", Role.SEARCH)
    searcher = made_searcher(tmp_path / "people.exact", people=3)
    with running(create_app(searcher, users=users, limits=PLENTY)) as address:
        page = visit(f"{address}#token={token}")
        upload(page, person=1)
        expect(cards(page).first).to_contain_text("person 1")
        expect(page.locator(".edit")).to_have_count(0)
        expect(page.locator(".judge")).to_have_count(0)
        page.locator("#open-people").click()
        expect(page.locator("#people-list .person-line")).to_have_count(3)
        page.context.close()


def test_a_mark_that_is_not_kept_is_taken_back(own: Page) -> None:
    upload(own)
    own.route("**/api/mark", lambda route: route.abort())
    cards(own).nth(0).get_by_role("button", name="Right").click()
    expect(own.locator("#trouble")).to_contain_text("The service does not answer")
    expect(cards(own).nth(0)).not_to_have_class(re.compile("is-right"))


def test_the_person_is_drawn_in_the_other_light(page: Page) -> None:
    upload(page)
    drawn = page.locator("#drawn-picture")
    expect(drawn).to_be_visible()
    assert drawn.evaluate("image => image.decode().then(() => image.naturalHeight)") == 64
    expect(page.locator("#drawn-caption")).to_have_text(
        "What this person may look like in visible light"
    )
    upload(page, cam=1)
    expect(page.locator("#drawn-caption")).to_have_text(
        "What this person may look like in infrared"
    )


def test_a_model_that_only_swaps_draws_the_person_in_another_place(
    visit: Open, tmp_path: Path
) -> None:
    searcher = made_searcher(tmp_path / "people.exact", drawing=True, translating=False)
    with running(create_app(searcher, limits=PLENTY)) as address:
        page = visit(address)
        upload(page)
        expect(page.locator("#drawn-picture")).to_be_visible()
        rank = page.locator("#cards .card:has(.mark-visible)").first.get_attribute("data-rank")
        expect(page.locator("#drawn-caption")).to_have_text(
            f"What this person may look like in the place of result {rank}"
        )
        page.context.close()


def test_a_picture_is_pasted_or_dropped(page: Page) -> None:
    expect(page.locator("#start-cards .pick")).not_to_have_count(0)
    give = """([bytes, how]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], `${how}.png`, { type: "image/png" }));
      const kind = how === "paste" ? ClipboardEvent : DragEvent;
      const given = how === "paste" ? { clipboardData: data } : { dataTransfer: data };
      document.body.dispatchEvent(new kind(how, { bubbles: true, cancelable: true, ...given }));
    }"""
    for how, person in (("paste", 2), ("drop", 6)):
        page.evaluate(give, [list(encoded(picture(person, 3))), how])
        expect(page.locator("#query-caption")).to_contain_text(f"{how}.png")
        expect(cards(page).first).to_contain_text(f"person {person}")


def test_everything_by_keyboard(own: Page) -> None:
    upload(own)
    own.locator("#results").focus()
    own.keyboard.press("ArrowRight")
    expect(cards(own).nth(0).locator(".pick")).to_be_focused()
    own.keyboard.press("r")
    expect(cards(own).nth(0)).to_have_class(re.compile("is-right"))
    own.keyboard.press("ArrowRight")
    own.keyboard.press("w")
    expect(cards(own).nth(1)).to_have_class(re.compile("is-wrong"))
    own.keyboard.press("ArrowDown")
    own.keyboard.press("ArrowUp")
    expect(cards(own).nth(1).locator(".pick")).to_be_focused()
    own.keyboard.press("Enter")
    expect(own.locator("#query-caption")).to_contain_text("camera")
    own.keyboard.press("Backspace")
    expect(own.locator("#query-caption")).to_contain_text("night.png")
    own.keyboard.press("?")
    expect(own.locator("#help")).to_be_visible()
    own.keyboard.press("Escape")
    own.keyboard.press("g")
    expect(own.locator("#picker")).to_be_visible()
    own.keyboard.press("Escape")
    expect(own.locator("#picker")).to_be_hidden()


def test_a_file_that_is_no_image_is_explained(page: Page) -> None:
    sent = {"name": "list.txt", "mimeType": "text/plain", "buffer": b"no image"}
    page.set_input_files("#file", sent)
    expect(page.locator("#trouble")).to_contain_text("is not an image; expected JPEG")
    expect(cards(page)).to_have_count(0)
    upload(page)
    expect(page.locator("#trouble")).to_be_hidden()


def test_a_file_that_is_too_large_is_not_sent(page: Page) -> None:
    expect(page.locator("#facts")).to_contain_text("images")
    sent = {"name": "large.png", "mimeType": "image/png", "buffer": bytes(300_000)}
    page.set_input_files("#file", sent)
    expect(page.locator("#trouble")).to_contain_text("0.286 MiB, more than the 0.191 MiB")


def test_a_service_that_went_away_is_explained_and_asked_again(page: Page) -> None:
    upload(page)
    page.route("**/api/search", lambda route: route.abort())
    cards(page).nth(0).locator(".pick").click()
    expect(page.locator("#trouble")).to_contain_text("The service does not answer")
    page.unroute("**/api/search")
    page.locator("#retry").click()
    expect(cards(page)).to_have_count(20)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(visit: Open, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    upload(page)
    assert page.locator("html").get_attribute("data-theme") == scheme
    contrasts = page.evaluate(
        """() => {
          const light = (text) => {
            const parts = text.match(/[0-9.]+/g).slice(0, 3).map(Number).map((v) => v / 255)
              .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
          };
          const behind = (element) => {
            for (let e = element; e; e = e.parentElement) {
              const color = getComputedStyle(e).backgroundColor;
              if (!/rgba\\(.*, 0\\)|transparent/.test(color)) return color;
            }
            return "rgb(255, 255, 255)";
          };
          const seen = ["h1", "#facts", "#status", "#verdict p", "#query-caption",
            ".line b", ".line span", ".badge", ".judge button", "#choose", "#open-help",
            ".segments span"];
          return seen.map((selector) => {
            const element = document.querySelector(selector);
            const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
            return [selector, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
          });
        }"""
    )
    assert {name: ratio for name, ratio in contrasts if ratio < 4.5} == {}


def test_the_theme_can_be_chosen_and_stays(page: Page) -> None:
    for expected in ("light", "dark"):
        page.locator("#theme").click()
        assert page.locator("html").get_attribute("data-theme") == expected
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_nothing_is_cut_off_or_too_small_to_touch_at_phone_width(visit: Open) -> None:
    page = visit(viewport={"width": 400, "height": 800}, has_touch=True)
    upload(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    outside = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter((element) => {
          const box = element.getBoundingClientRect();
          return box.width > 1 && (box.right > 400.5 || box.left < -0.5);
        }).map((element) => element.className)"""
    )
    assert outside == []
    for selector in ("#choose", "#open-picker", "#cards .judge button"):
        assert page.locator(selector).first.bounding_box()["height"] >= 44
    assert page.locator("#filters").get_attribute("open") is None


def test_results_do_not_move_what_is_around_them(page: Page) -> None:
    expect(page.locator("#start-cards .pick:not(.missing)").first).to_be_visible()
    before = page.locator("#filters").bounding_box()
    upload(page)
    expect(page.locator("#drawn-picture")).to_be_visible()
    assert page.locator("#filters").bounding_box() == before


def test_everything_that_can_be_used_has_a_name(page: Page) -> None:
    upload(page)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, img, [role]")].filter(
          (e) => {
            const name = e.getAttribute("aria-label") || e.innerText || e.alt
              || e.labels?.[0]?.innerText || e.getAttribute("aria-labelledby");
            const hidden = !e.offsetParent || e.getAttribute("aria-hidden") === "true";
            return !name && !hidden && e.alt !== "";
          }).map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert [html for html in unnamed if 'role="status"' not in html] == []


def test_a_token_in_the_address_opens_the_page_and_vanishes(visit: Open, tmp_path: Path) -> None:
    searcher = made_searcher(tmp_path / "people.exact", people=3)
    with running(create_app(searcher, token=TOKEN, limits=PLENTY)) as address:
        page = visit(f"{address}#token={TOKEN}")
        expect(page.locator("#start-cards .pick:not(.missing)").first).to_be_visible()
        assert TOKEN not in page.url
        upload(page, person=1)
        other = visit(address)
        expect(other.locator("#locked")).to_be_visible()
        other.locator("#token").fill("a wrong token, long enough")
        other.keyboard.press("Enter")
        expect(other.locator("#wrong-token")).to_have_text("That is not the token.")
        other.locator("#token").fill(TOKEN)
        other.keyboard.press("Enter")
        expect(other.locator("#facts")).to_contain_text("9 images")
        page.context.close()
        other.context.close()


def test_an_empty_gallery_says_what_to_do(visit: Open, tmp_path: Path) -> None:
    searcher = made_searcher(tmp_path / "nobody.exact", people=0)
    with running(create_app(searcher, limits=PLENTY)) as address:
        page = visit(address)
        expect(page.locator("#nothing-title")).to_have_text("This gallery is empty")
        expect(page.locator("#nothing-text")).to_contain_text("crosslight gallery add")
        page.context.close()


def test_the_description_of_the_api_is_shown(visit: Open, address: str) -> None:
    page = visit(f"{address}docs")
    expect(page.locator(".call")).to_have_count(24)
    expect(page.locator(".call").first).to_contain_text("curl -F image=@person.jpg")
