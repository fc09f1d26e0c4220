"""The page as a person uses it, in a real browser."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import Limits
from crosslight.times import text_of
from tests.gallery.browsing import browser, running
from tests.gallery.served import CAMS, EPOCH_S, PEOPLE, encoded, made_searcher, picture, row_id
from tests.last_resort import HANG_MS, HANG_S

if TYPE_CHECKING:
    from playwright.sync_api import Page

api = pytest.importorskip("playwright.sync_api", reason="say: pip install 'crosslight[dev]'")
expect = api.expect

TOKEN = "correct-horse-battery-staple"
PLENTY = Limits(searches_per_minute=10**6, upload_mib=200_000 / 2**20, body_s=HANG_S)
PERSON = 5
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
    expect(cards(page).first).to_contain_text(f"person {PERSON}")


def test_marks_are_kept_and_exported(page: Page) -> None:
    upload(page, name="=danger.png")
    cards(page).nth(0).get_by_role("button", name="Right").click()
    cards(page).nth(5).get_by_role("button", name="Wrong").click()
    cards(page).nth(6).get_by_role("button", name="Wrong").click()
    cards(page).nth(6).get_by_role("button", name="Wrong").click()
    expect(page.locator("#marks-count")).to_have_text("1 right, 1 wrong")
    with page.expect_download() as started:
        page.locator("#export").click()
    assert started.value.suggested_filename == "marks-people.exact.csv"
    text = Path(started.value.path()).read_text(encoding="utf-8")
    right, wrong = csv.DictReader(StringIO(text))
    assert (right["mark"], wrong["mark"]) == ("right", "wrong")
    assert right["pid"] == str(PERSON)
    assert (right["rank"], right["query_modality"]) == ("1", "infrared")
    assert right["query_file"] == "'=danger.png"
    assert re.fullmatch("[0-9a-f]{64}", right["query_sha256"])
    page.reload()
    expect(page.locator("#marks-count")).to_have_text("1 right, 1 wrong")
    upload(page)
    expect(cards(page).nth(0)).to_have_class(re.compile("is-right"))
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#clear-marks").click()
    expect(page.locator("#marks")).to_be_hidden()
    expect(cards(page).nth(0)).not_to_have_class(re.compile("is-right"))


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


def test_everything_by_keyboard(page: Page) -> None:
    upload(page)
    page.locator("#results").focus()
    page.keyboard.press("ArrowRight")
    expect(cards(page).nth(0).locator(".pick")).to_be_focused()
    page.keyboard.press("r")
    expect(cards(page).nth(0)).to_have_class(re.compile("is-right"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("w")
    expect(cards(page).nth(1)).to_have_class(re.compile("is-wrong"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(cards(page).nth(1).locator(".pick")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#query-caption")).to_contain_text("camera")
    page.keyboard.press("Backspace")
    expect(page.locator("#query-caption")).to_contain_text("night.png")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    expect(page.locator("#picker")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#picker")).to_be_hidden()


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
    expect(page.locator(".call")).to_have_count(8)
    expect(page.locator(".call").first).to_contain_text("curl -F image=@person.jpg")
