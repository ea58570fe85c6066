"""Every page people see: whose it is, where, and what can be open on it. One line a page.

Whoever adds an address adds its lines here, or says below why it is no page;
`test_every_page.py` and `test_every_control.py` go through all of them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """One page, in one condition."""

    name: str  # of its address, or the status of an error
    who: str  # of tests.support.world; empty: nobody has signed in
    address: str  # in braces: what tests.browser.pages.staging names
    opens: tuple[str, ...] = ()  # what can be open on it, of tests.browser.pages.opening.OPENS
    arrive: str = ""  # what is done there first, of tests.browser.pages.opening.ARRIVALS
    status: int = 200  # of the answer
    data: str = "full"  # or "empty": people, a domain and a server, and nothing happened yet

    @property
    def title(self) -> str:
        """Return what distinguishes it, for a test's id."""
        place = self.address.strip("/")[:60]
        parts = (self.name, self.who or "nobody", place, self.arrive, self.data)
        return " ".join(part for part in parts if part and part != "full").replace("/", "-")


FOLDS = ("folds",)
DECIDING = ("approve", "reject", "folds", "keys")
CLIENTS = ("cursor", "vs code", "python", "typescript")
TOOL, CHANGED = "/catalogue/tools/{tool}/", "/catalogue/tools/{changed_tool}/"
TWO = "/accounts/2fa"

PAGES = (
    # the queue, and a call beside it
    Page("queue", "bo", "/", ("keys",)),
    Page("queue", "bo", "/?call={telling}", DECIDING),
    Page("queue", "bo", "/?show=all&domain=deploys"),
    Page("queue", "bo", "/?call={unknown}"),
    Page("queue", "dee", "/", data="empty"),
    Page("queue", "eve", "/", data="empty"),
    # a call, on a page of its own, in each state
    Page("call", "bo", "/calls/{telling}/", (*DECIDING, "changed")),
    Page("call", "bo", "/calls/{deep}/", FOLDS),
    Page("call", "bo", "/calls/{alone}/", ("approve",)),
    Page("call", "ann", "/calls/{telling}/", FOLDS),
    Page("call", "aud", "/calls/{telling}/"),
    Page("call", "bo", "/calls/{approved}/"),
    Page("call", "bo", "/calls/{claimed}/"),
    Page("call", "bo", "/calls/{dispatched}/"),
    Page("call", "bo", "/calls/{succeeded}/", FOLDS),
    Page("call", "bo", "/calls/{failed}/", FOLDS),
    Page("call", "bo", "/calls/{unknown}/"),
    Page("call", "bo", "/calls/{rejected}/"),
    Page("call", "bo", "/calls/{expired}/"),
    Page("call", "bo", "/calls/{cancelled}/"),
    Page("call", "bo", "/calls/{void}/"),
    Page("call", "bo", "/calls/{ran}/"),
    Page("call", "bo", "/calls/{cut}/", FOLDS),
    Page("call", "bo", "/calls/{admitted}/"),
    Page("call", "bo", "/calls/{superseded}/"),
    Page("call", "bo", "/calls/{superseding}/"),
    Page("call_decide", "bo", "/calls/{telling}/", arrive="stale approval", status=409),
    Page("call_settle", "bo", "/calls/{unknown}/", arrive="no evidence", status=400),
    Page("call_withdraw", "ann", "/calls/{plain}/", arrive="too late to withdraw", status=409),
    # what was
    Page("history", "aud", "/history/", ("folds", "drawer")),
    Page("history", "bo", "/history/?status=rejected&q=cus"),
    Page("history", "bo", "/history/?q=nothing"),
    Page("history", "bo", "/history/", data="empty"),
    Page("history_reads", "aud", "/history/reads/"),
    Page("insights", "dee", "/insights/", FOLDS),
    Page("insights", "bo", "/insights/", data="empty"),
    # what there is
    Page("catalogue", "dee", "/catalogue/", FOLDS),
    Page("catalogue", "bo", "/catalogue/?server=deploys"),
    Page("catalogue", "eve", "/catalogue/", data="empty"),
    Page("tool", "dee", TOOL, FOLDS),
    Page("tool", "dee", CHANGED, FOLDS),
    Page("tool", "bo", TOOL),
    Page("tool_review", "dee", TOOL, arrive="stale review", status=409),
    Page("tool_template", "dee", TOOL, arrive="stale sentence", status=409),
    Page("tool_preview", "dee", TOOL, arrive="preview"),
    Page("policies", "dee", "/policies/"),
    Page("policies", "eve", "/policies/", data="empty"),
    Page("policy_version", "dee", "/policies/1/"),
    Page("policy_try", "dee", "/policies/tries/{try}/", FOLDS),
    Page("policy_try", "dee", "/policies/tries/{try}/?all"),
    Page("policy_try", "dee", "/policies/tries/{running_try}/"),
    Page("policy_try", "dee", "/policies/tries/{failed_try}/"),
    Page("policy_try", "dee", "/policies/tries/{empty_try}/"),
    # agents and their keys
    Page("agents", "dee", "/agents/"),
    Page("agents", "ann", "/agents/", data="empty"),
    Page("agent", "dee", "/agents/support/", ("folds", *CLIENTS)),
    Page("agent", "ann", "/agents/support/?to=billing", FOLDS),
    Page("agent_new", "dee", "/agents/-/new/"),
    Page("agent_new", "dee", "/agents/-/new/", arrive="bad name", status=400),
    Page("agent_keys", "ann", "/agents/support/", arrive="key made"),
    Page("agent_revoke", "dee", "/agents/support/keys/{key}/revoke/"),
    Page("agents_stop", "dee", "/agents/-/stop/"),
    Page("agents_resume", "dee", "/agents/-/resume/"),
    Page("first_run", "dee", "/first-run/", data="empty"),
    Page("first_run", "dee", "/first-run/", arrive="practice set up", data="empty"),
    # oneself
    Page("settings", "bo", "/settings/"),
    Page("account_login", "", "/accounts/login/"),
    Page("account_login", "", "/accounts/login/", arrive="wrong password"),
    Page("account_logout", "bo", "/accounts/logout/"),
    Page("account_inactive", "", "/accounts/inactive/"),
    Page("account_change_password", "bo", "/accounts/password/change/"),
    Page("account_reauthenticate", "cy", "/accounts/reauthenticate/"),
    Page("mfa_index", "bo", f"{TWO}/"),
    Page("mfa_index", "cy", f"{TWO}/"),
    Page("mfa_authenticate", "", "/accounts/login/", arrive="second step"),
    Page("mfa_reauthenticate", "cy", f"{TWO}/reauthenticate/"),
    Page("mfa_reauthenticate_webauthn", "cy", f"{TWO}/webauthn/reauthenticate/"),
    Page("mfa_activate_totp", "bo", f"{TWO}/totp/activate/"),
    Page("mfa_deactivate_totp", "cy", f"{TWO}/totp/deactivate/"),
    Page("mfa_view_recovery_codes", "cy", f"{TWO}/recovery-codes/"),
    Page("mfa_generate_recovery_codes", "cy", f"{TWO}/recovery-codes/generate/"),
    Page("mfa_list_webauthn", "cy", f"{TWO}/webauthn/"),
    Page("mfa_add_webauthn", "bo", f"{TWO}/webauthn/add/"),
    Page("mfa_edit_webauthn", "cy", f"{TWO}/webauthn/keys/{{passkey}}/edit/"),
    Page("mfa_remove_webauthn", "cy", f"{TWO}/webauthn/keys/{{passkey}}/remove/"),
    # what is said instead of a page
    Page("400", "bo", "/history/?" + "a&" * 1_001, status=400),
    Page("403", "aud", "/agents/-/new/", status=403),
    Page("403_csrf", "bo", "/accounts/logout/", arrive="no token", status=403),
    Page("404", "bo", "/nowhere/", status=404),
    Page("429", "bo", "/accounts/password/change/", arrive="wrong again and again", status=429),
    Page("500", "dee", "/", arrive="a broken row", status=500),
)  # fmt: skip

# Addresses that answer with no page, and why.
NO_PAGES = {
    "queue_changes": "a part, which the queue asks for",
    "call_parts": "parts, which the page of a call asks for",
    "call_presence": "a part, which the page of a call asks for",
    "history_changes": "a part, which the history asks for",
    "policy_try_state": "a part, which the page of a try asks for",
    "first_run_state": "a part, which the first run asks for",
    "theme": "leads back to the page it was sent from",
    "agent_pause": "leads back to the agent",
    "upstream_refresh": "leads back to the catalogue",
    "mfa_download_recovery_codes": "plain text, for the browser to keep",
    "mfa_login_webauthn": "JSON for the browser",
    "alive": "JSON for load balancers",
    "ready": "JSON for operators",
    "metrics": "text for Prometheus",
    "api_calls": "JSON",
    "api_call": "JSON",
    "api_decisions": "JSON",
    "api_settlement": "JSON",
    "api_withdrawal": "JSON",
    "api_events": "JSON",
    "api_tries": "JSON",
    "api_try": "JSON",
    "api_schema": "the schema of the REST interface",
}
