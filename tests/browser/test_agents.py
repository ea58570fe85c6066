"""Agents, keys, the first run and settings in a browser: every control has its effect."""

import re

import pytest
from playwright.sync_api import Error

from approvals import submission
from approvals.models import Agent, AgentKey, Person, Tool, ToolCall, Upstream
from tests.browser.conftest import READING_MS
from tests.support import world as worlds

pytestmark = pytest.mark.browser

KEY = re.compile(r"cs_[0-9a-f]{10}_[\w-]{43}")


def test_a_key_is_made_copied_gone_and_revoked(site, world, opened):
    page = opened(world.ann, "/agents/support/", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_text("New key").click()
    page.get_by_label("Where it is used").fill("nightly job")
    page.get_by_role("button", name="Make a key").click()
    page.get_by_text("never again").wait_for()
    (key,) = set(KEY.findall(page.content()))

    page.get_by_role("button", name="Copy the text for the key alone").click()
    page.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("link", name="I have kept it").click()
    page.get_by_text("nightly job, for Ann Tester").wait_for()
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        page.go_back()  # the browser kept nothing, and would have to send the form again
    page = page.context.new_page()
    page.goto("/agents/support/")
    after = page.content()
    page.get_by_role("link", name=f"Revoke key cs_{key.split('_')[1]}").click()
    page.get_by_role("button", name="Revoke the key").click()
    page.get_by_text("Nothing can sign in with that key any more.").wait_for()

    assert copied == key
    assert not KEY.search(after)
    assert AgentKey.objects.count() == 2
    assert AgentKey.objects.exclude(revoked_at=None).get().prefix == key.split("_")[1]


def test_an_agent_is_created_paused_stopped_and_resumed(site, world, opened):
    page = opened(world.dee, "/agents/")
    page.get_by_role("link", name="New agent").click()
    page.get_by_label("Name").fill("triage")
    page.get_by_label("billing").check()
    page.get_by_role("button", name="Create agent").click()
    page.get_by_text("It needs a key to call.").wait_for()

    page.get_by_role("button", name="Pause triage").click()
    page.get_by_text("triage is paused.").wait_for()
    page.get_by_role("link", name="Agents").first.click()
    page.get_by_role("button", name="Resume triage").click()
    page.get_by_text("triage may call again.").wait_for()
    page.get_by_role("link", name="Stop all agents…").click()
    page.get_by_text("Calls already dispatched are not stopped").wait_for()
    page.get_by_label("Why, for the trail").fill("A drill.")
    page.get_by_role("button", name="Stop 2 agents").click()
    page.get_by_text("Stopped 2 agents.").wait_for()
    stopped = Agent.objects.filter(is_paused=True).count()
    page.get_by_role("link", name="Resume agents…").click()
    page.get_by_label("support").check()
    page.get_by_role("button", name="Resume what is ticked").click()
    page.get_by_text("Resumed 1 agent.").wait_for()

    assert stopped == 2
    assert Agent.objects.get(is_paused=True).name == "triage"


def test_each_kind_of_client_has_its_text(site, world, opened):
    page = opened(world.ann, "/agents/support/")
    for name, words in {
        "Claude Code": "claude mcp add",
        "Cursor": "mcpServers",
        "VS Code": "promptString",
        "Python": "streamable_http_client",
        "TypeScript": "StreamableHTTPClientTransport",
    }.items():
        page.get_by_role("radio", name=name).check(force=True)
        text = page.locator(".how:visible pre").inner_text()
        assert words in text

    page.get_by_role("link", name="billing only").click()
    assert "/mcp/billing" in page.locator(".how:visible pre").inner_text()


def test_without_script_every_text_and_form_is_there(site, world, opened):
    page = opened(world.ann, "/agents/support/", java_script_enabled=False)

    page.get_by_text("New key").click()
    page.get_by_role("button", name="Make a key").click()

    assert KEY.search(page.content())
    assert page.locator("[data-copy]:visible").count() == 0


@pytest.fixture
def listening(site, world, opened):
    """Return the first-run page of an administrator whose practice server has started."""
    page = opened(world.dee, "/first-run/")
    page.get_by_role("button", name="Set up the practice domain").click()
    page.get_by_text("Starting it").wait_for()
    worlds.list_tools(Upstream.objects.get(name="practice"), worlds.definition("send_postcard"))
    page.get_by_text("its tool is listed").wait_for(timeout=15_000)
    page.get_by_text("Live", exact=True).wait_for()
    page.wait_for_load_state("networkidle")
    return page


def ask_for_a_card():
    key = AgentKey.objects.get(agent__name="practice")
    request = submission.Request(
        agent_id=key.agent_id, key_id=key.pk, arguments={"customer": "me", "amount": 1},
        tool_id=Tool.objects.get(upstream__name="practice").pk,
    )  # fmt: skip
    submission.submit(request)


def test_the_first_run_asks_for_nothing_while_it_listens(listening):
    asked = []
    listening.on("request", lambda request: asked.append(request.url))

    listening.wait_for_timeout(6_000)

    assert asked == []


def test_the_first_run_finds_a_call_of_which_no_message_told_it(site, listening):
    site.stop()
    listening.get_by_text("Reconnecting").wait_for()
    ask_for_a_card()
    site.start()

    listening.wait_for_url(re.compile("/calls/"), timeout=15_000)


def test_the_first_run_moves_on_by_itself_to_the_held_call(listening):
    page = listening
    ask_for_a_card()
    page.wait_for_url(re.compile("/calls/"), timeout=6_000)
    page.wait_for_timeout(READING_MS)
    page.locator(".tile", has_text="Approve").click()
    page.locator("form.approve button").click()

    page.get_by_text("Approved. It runs as soon as a worker takes it.").wait_for()
    assert ToolCall.objects.get().status == "approved"


def test_settings_are_kept_and_pages_follow_them(site, world, opened):
    page = opened(world.bo, "/", permissions=["notifications"])
    page.get_by_title("Your settings").click()
    page.get_by_label("Single-key shortcuts").uncheck()
    page.get_by_role("radio", name="Dark").check()
    page.get_by_label("Time zone").select_option("Asia/Kolkata")
    page.get_by_label("Tell me in the browser").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Your settings are kept.").wait_for()

    bo = Person.objects.get(pk=world.bo.pk)
    assert (bo.uses_single_keys, bo.wants_notices, bo.time_zone) == (False, True, "Asia/Kolkata")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.get_by_text("UTC+05:30").is_visible()
    assert not page.locator("#notices-why").is_visible()


def test_a_browser_that_refuses_notices_is_told_of(site, world, opened):
    page = opened(world.bo, "/settings/", permissions=[])
    page.evaluate("() => { Object.defineProperty(Notification, 'permission', {value: 'denied'}); }")

    page.get_by_label("Tell me in the browser").check()

    page.get_by_text("The browser refuses notices of this site").wait_for()
