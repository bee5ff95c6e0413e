"""Walks through the console in Debian's Chromium, with script and without: what a desk does in a day.

    walk.py SETTINGS

SETTINGS is JSON: url, maildir (where Postfix leaves mail), command (the program with its configuration), axe (the text of
axe-core), password, nasty (names that want to be more than text). tests/it/browser.rs prepares all of it. Ends with status 1 at the first thing that is not so."""

import email
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

settings = json.load(open(sys.argv[1]))
URL, PASSWORD = settings["url"], settings["password"]
AXE = open(settings["axe"]).read()
CONTENTS = ".queue tbody tr td:nth-child(3) a"
checked = {"pages": 0, "keys": 0}


def say(what):
    """Tells how far the walk is."""
    print(f"{time.monotonic() - BEGAN:6.1f} s  {what}", flush=True)


def check(holds, what):
    """Ends the walk with a sentence if something is not so."""
    if not holds:
        print(f"NOT SO: {what}", flush=True)
        for browser in browsers:
            print(browser.current_url, browser.find_element(By.TAG_NAME, "main").text[:600], flush=True)
        sys.exit(1)


def start(with_script=True, width=1280):
    """Starts a browser with nothing in it."""
    options = webdriver.ChromeOptions()
    for word in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={width},900"]:
        options.add_argument(word)
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not with_script:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    browser = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    browsers.append(browser)
    return browser


def one(browser, selector):
    """Returns the first element that a selector names."""
    return browser.find_element(By.CSS_SELECTOR, selector)


def text_of(browser, selector="main"):
    """Returns the text of an element."""
    return one(browser, selector).text


def leave(browser, act):
    """Does what leads to another page, and waits until the browser is there."""
    page = one(browser, "html")
    act()
    for _ in range(400):
        try:
            page.is_enabled()
        except StaleElementReferenceException:
            return
        time.sleep(0.05)
    check(False, "there is another page after it")


def log_in(browser, name, to="/cases"):
    """Enters as a person does."""
    browser.get(URL + to)
    check("/login" in browser.current_url, "who has not entered is sent to the log-in")
    one(browser, "#name").send_keys(name)
    one(browser, "#password").send_keys(PASSWORD)
    leave(browser, lambda: one(browser, "#password").send_keys(Keys.ENTER))
    check(to in browser.current_url, f"after logging in {name} is where he wanted to go, not at {browser.current_url}")


def press(browser, words, inside="main"):
    """Presses the button with these words, also one that a summary hides."""
    for button in one(browser, inside).find_elements(By.TAG_NAME, "button"):
        if (button.text or button.get_attribute("textContent")).strip().startswith(words):
            if not button.is_displayed():
                button.find_element(By.XPATH, "ancestor::details/summary").click()
            leave(browser, button.click)
            return
    check(False, f"there is a button {words!r}")


def open_part(browser, words):
    """Opens the part of a page that a summary with these words hides."""
    for summary in browser.find_elements(By.TAG_NAME, "summary"):
        if summary.text.strip() == words:
            if summary.find_element(By.XPATH, "..").get_attribute("open") is None:
                summary.click()
            return
    check(False, f"there is a part {words!r}")


def octets_of(browser, path):
    """Gets a file as the browser would."""
    cookies = "; ".join(f"{it['name']}={it['value']}" for it in browser.get_cookies())
    return urllib.request.urlopen(urllib.request.Request(URL + path, headers={"Cookie": cookies})).read()


def command(*words):
    """Runs the program."""
    return subprocess.run([*settings["command"], *words], check=True, capture_output=True, text=True).stdout


def log(case):
    """Returns who did what with a case."""
    return [(line["who"], line["note"]) for line in json.loads(command("cases", "log", case, "--format", "json"))]


def mails_to(address):
    """Returns the octets of the mails that Postfix took for an address."""
    folder = os.path.join(settings["maildir"], "new")
    found = [open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))]
    return [octets for octets in found if address in (email.message_from_bytes(octets)["To"] or "")]


def look_closely(browser, name):
    """Has axe-core look at a page, light and dark, and Chromium tell what its policy stopped."""
    for scheme in ["light", "dark"]:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        browser.execute_script(AXE)
        found = browser.execute_async_script("const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then(it => done(it.violations.map(v => [v.id, v.nodes.map(n => n.html).slice(0, 3)])));")
        check(found == [], f"axe-core finds nothing on {name}, {scheme}: {found}")
    told = [line["message"] for line in browser.get_log("browser") if "Content Security Policy" in line["message"] or "Refused to" in line["message"]]
    check(told == [], f"the policy stops nothing on {name}: {told}")
    checked["pages"] += 1


FOCUSABLE = """return Array.from(document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]'))
    .filter(it => it.checkVisibility() && !it.disabled).length;"""
FOCUSED = """const it = document.activeElement; if (!it || it === document.body) return null;
    if (!it.dataset.walk) it.dataset.walk = String(++window.walked || (window.walked = 1));
    const style = getComputedStyle(it);
    return [it.dataset.walk, it.outerHTML.slice(0, 80), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0];"""


def go_by_keyboard(browser, name):
    """Tabs through a page: everything that can be used is reached, and shows that it is."""
    wanted = browser.execute_script(FOCUSABLE)
    browser.execute_script("document.activeElement.blur(); window.getSelection().removeAllRanges(); window.walked = 0;")
    seen, unseen = set(), []
    body = one(browser, "body")
    for _ in range(min(wanted + 3, 120)):
        (browser.switch_to.active_element or body).send_keys(Keys.TAB)
        focused = browser.execute_script(FOCUSED)
        if focused is None:
            continue
        seen.add(focused[0])
        if not focused[2]:
            unseen.append(focused[1])
    check(len(seen) >= min(wanted, 110), f"the keyboard reaches all of {name}: {len(seen)} of {wanted}")
    check(unseen == [], f"the focus is seen on {name}: {unseen[:3]}")
    checked["keys"] += 1


def walk(with_script):
    """What a desk does: each step with the names of those who take it."""
    kind = "with script" if with_script else "without script"
    case, spam = ("bad1.example", "spam") if with_script else ("bad2.example", "junk")
    anna, adam, rolf = (start(with_script) for _ in range(3))
    # Filter, share the address, come back to the same rows.
    log_in(anna, "anna")
    one(anna, "#f-text").send_keys("copy")
    Select(one(anna, "#f-level")).select_by_visible_text("review")
    press(anna, "Filter")
    rows = [it.text for it in anna.find_elements(By.CSS_SELECTOR, CONTENTS)]
    check(len(rows) >= 20 and "text=copy" in anna.current_url and "level=review" in anna.current_url, f"the filter is in the address: {anna.current_url}")
    shared = anna.current_url[len(URL):]
    log_in(adam, "adam", shared)
    check([it.text for it in adam.find_elements(By.CSS_SELECTOR, CONTENTS)] == rows, "who gets the address sees the same rows")
    leave(anna, one(anna, "nav.pages a[rel=next]").click)
    check([it.text for it in anna.find_elements(By.CSS_SELECTOR, CONTENTS)] != rows, "the next page has others")
    leave(anna, anna.back)
    check([it.text for it in anna.find_elements(By.CSS_SELECTOR, CONTENTS)] == rows, "back are the same rows")
    say(f"{kind}: filtered, shared, came back")
    # A case, and the tables of its plots.
    anna.get(f"{URL}/cases/{case}")
    reference = text_of(anna, "h1 .number")
    tables = anna.find_elements(By.CSS_SELECTOR, "table.lanes")
    check(len(tables) >= 1 and all(len(it.find_elements(By.CSS_SELECTOR, "tbody tr")) > 1 for it in tables), "each plot has its table")
    for link in anna.find_elements(By.XPATH, "//main//a[text()='CSV']"):
        lines = octets_of(anna, link.get_attribute("href")[len(URL):]).decode().splitlines()
        check(len(lines) > 2 and "," in lines[0], "each plot has its CSV")
    # The first one edits the draft and may not approve it; the second one may, and what left has the octets that were shown.
    leave(anna, one(anna, "a[href*='/notices/']").click)
    open_part(anna, "Edit the paragraph")
    one(anna, "#paragraph").send_keys(f"We saw this ourselves, {kind}.")
    press(anna, "Put it into the draft")
    check("We saw this ourselves" in text_of(anna, "pre.mail"), "the draft has the paragraph")
    draft = anna.current_url.split("?")[0][len(URL):]
    press(anna, "Approve and send")
    check("another person has to approve it" in text_of(anna), "who edited a draft does not approve it")
    adam.get(URL + draft)
    shown, digest = octets_of(adam, draft + "/eml"), text_of(adam, "dl.facts code")
    check(hashlib.sha256(shown).hexdigest() == digest, "the hash is that of the message")
    check("We saw this ourselves" in text_of(adam, "pre.mail"), "the second one reads the paragraph")
    count = len(mails_to("abuse@desk.test"))
    press(adam, "Approve and send")
    for _ in range(300):
        if len(mails_to("abuse@desk.test")) > count:
            break
        time.sleep(0.1)
    got = [mail for mail in mails_to("abuse@desk.test") if f"ourselves, {kind}." in mail.decode("latin-1").replace("=\n", "")]
    check(len(got) == 1, f"the notice arrived once, not {len(got)} times")
    arrived, sent = (it.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n") for it in (got[0], shown))
    # Before it stand the lines of who passed it on.
    other = next((lines for lines in zip(reversed(arrived), reversed(sent)) if lines[0] != lines[1]), None)
    check(len(arrived) >= len(sent) and other is None, f"Postfix got the bytes that were shown: {other}")
    say(f"{kind}: what one edited, another approved; Postfix has its bytes")
    # A page that is older than its case changes nothing.
    log_in(rolf, "rolf", f"/cases?text={spam}")
    rolf.get(f"{URL}/cases/{case}")
    command("cases", "note", case, "--note", f"meanwhile, {kind}", "--by", "anna")
    press(rolf, "Acknowledge")
    check("changed since you opened its page" in text_of(rolf), "an old page says so")
    check("open" in json.loads(command("cases", "show", case, "--format", "json"))["state"], "and changes nothing")
    # Thirty by a filter, with a preview.
    rolf.get(f"{URL}/cases?text={spam}")
    open_part(rolf, "A step with all cases that fit")
    Select(one(rolf, "#b-step")).select_by_visible_text("dismiss")
    Select(one(rolf, "#b-reason")).select_by_visible_text("test")
    press(rolf, "Show what it touches")
    check("30 cases would be touched" in text_of(rolf), f"the preview has 30: {text_of(rolf, 'h1')}")
    check("30 cases" in command("cases", "--text", spam, "--format", "json") or len(json.loads(command("cases", "--text", spam, "--format", "json"))) == 30, "a preview does nothing")
    press(rolf, "Do it with these 30 cases")
    check("Done with 30 of 30 cases" in text_of(rolf), "all 30 are done")
    dismissed = json.loads(command("cases", "--text", spam, "--state", "dismissed", "--format", "json"))
    check(len(dismissed) == 30, "30 cases are dismissed")
    say(f"{kind}: an old page changed nothing, 30 cases were dismissed")
    # Logging out ends every session.
    other = start(with_script)
    log_in(other, "adam", "/zones")
    press(adam, "Log out", "header")
    other.get(URL + "/cases")
    check("/login" in other.current_url, "logging out ends the session everywhere")
    # Each step stands in the log under its name.
    lines = log(reference)
    for who, what in [("anna", "edited"), ("adam", "approved"), ("anna", f"meanwhile, {kind}")]:
        check(any(who == name and what in note for name, note in lines), f"{who} {what}: {lines}")
    check(all(any(name == "rolf" for name, _ in log(str(it["id"]))) for it in dismissed[:5]), "rolf dismissed them")
    check(not any(name == "rolf" for name, _ in lines), "a refused step leaves no line")
    say(f"{kind}: sessions ended, names are in the logs")


def look_at_every_page():
    """Has each page looked at by axe-core, and gone through by keyboard."""
    anna = start()
    anna.get(URL + "/login")
    look_closely(anna, "log-in")
    log_in(anna, "anna")
    draft = next(iter(re.findall(rb'href="(/cases/[^"]*/notices/[^"]*)"', octets_of(anna, "/drafts"))), b"/drafts").decode()
    message = next(iter(re.findall(rb'href="(/cases/[^"]*/messages/[^"]*)"', octets_of(anna, "/cases/bad1.example"))), b"/cases").decode()
    for path in ["/cases", "/cases?state=all&text=nothing", "/cases/bad1.example", "/drafts", draft, message, "/lookup?q=bad1.example&one=3000d&other=1d",
                 "/zones", "/outbox", "/exemptions", "/numbers", "/about", "/cases/FW-999999"]:
        anna.get(URL + path)
        look_closely(anna, path)
        go_by_keyboard(anna, path)
        say(f"looked at {path}")
    anna.get(URL + "/cases/bad3.example")
    open_part(anna, "Exempt")
    one(anna, "#exempt-reason").send_keys("ours")
    press(anna, "Show what it touches")
    look_closely(anna, "preview of an exemption")
    anna.get(URL + "/cases?text=copy1")
    open_part(anna, "A step with all cases that fit")
    press(anna, "Show what it touches")
    look_closely(anna, "preview of a step")
    narrow = start(width=390)
    log_in(narrow, "anna")
    for path in ["/cases", "/cases/bad1.example", "/lookup?q=bad1.example", "/numbers"]:
        narrow.get(URL + path)
        look_closely(narrow, f"{path} at 390 px")
        wide = narrow.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        check(wide <= 0, f"{path} fits 390 px")


def work_by_keyboard():
    """Takes a step without a mouse."""
    rolf = start()
    rolf.get(URL + "/login?next=/cases%3Ftext%3Dbad3")
    # The field has the focus already.
    leave(rolf, lambda: rolf.switch_to.active_element.send_keys("rolf", Keys.TAB, PASSWORD, Keys.ENTER))
    check("text=bad3" in rolf.current_url, "the keyboard logs in")
    one(rolf, "body").send_keys("j")
    leave(rolf, lambda: rolf.switch_to.active_element.send_keys("a"))
    check("#ack" in rolf.current_url and rolf.switch_to.active_element.text == "Acknowledge", "j and a lead to the step")
    leave(rolf, lambda: rolf.switch_to.active_element.send_keys(Keys.ENTER))
    check("The case is acknowledged." in text_of(rolf), "and Enter takes it")
    check(("rolf", "acknowledged") in [(who, note.split(":")[0]) for who, note in log("bad3.example")] or any(who == "rolf" for who, _ in log("bad3.example")), "under his name")
    say("by keyboard alone: a case was acknowledged")


class Unguarded(BaseHTTPRequestHandler):
    """Passes the console's pages on with its policy as one that is only reported: what it would stop is done and told."""

    reports = []
    protocol_version = "HTTP/1.1"
    CONTROL = b"<!doctype html><title>control</title><p style='color: red' onclick='1'>control<script>document.title = 'ran'</script>"
    POLICY = "default-src 'none'"

    def log_message(self, *_):
        pass

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/told":
            self.reports.append(json.loads(body)["csp-report"])
            return self.reply(204, [], b"")
        if self.path == "/control":
            return self.reply(200, [("Content-Type", "text/html")], self.CONTROL)
        heads = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "accept-encoding")}
        request = urllib.request.Request(URL + self.path, data=body if self.command == "POST" else None, headers=heads, method=self.command)
        try:
            answer = urllib.request.build_opener(Stay).open(request)
        except urllib.error.HTTPError as fault:
            answer = fault
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in ("content-security-policy", "content-length", "transfer-encoding", "connection", "date")]
        Unguarded.POLICY = answer.headers.get("content-security-policy") or Unguarded.POLICY
        self.reply(answer.status, kept, answer.read())

    do_GET = do_POST = pass_on

    def reply(self, status, heads, body):
        self.send_response(status)
        for name, value in heads:
            self.send_header(name, value)
        self.send_header("Content-Security-Policy-Report-Only", f"{Unguarded.POLICY}; report-uri /told")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Stay(urllib.request.HTTPRedirectHandler):
    """Leaves it to the browser to go where an answer leads."""

    def redirect_request(self, *_):
        return None


# What somebody types who wants it to be more than text.
TYPED = ["\"><script>document.title='ran'</script>", "'><img src=x onerror=\"document.title='ran'\">", "</textarea></title></pre><svg onload=\"document.title='ran'\">", "<p style='color: red'>x"]


def look_unguarded():
    """Goes through all pages with the policy as one that is only reported, with names, notes and drafts that want to be more
    than text: nothing is reported. A page that breaks the policy is reported, so that silence says something."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Unguarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://localhost:{server.server_port}"
    anna = start()
    anna.get(url + "/login")
    for field in ["name", "password"]:
        one(anna, "#" + field).send_keys({"name": "anna", "password": PASSWORD}[field])
    leave(anna, lambda: one(anna, "#password").send_keys(Keys.ENTER))
    check("/login" not in anna.current_url, "one enters through what passes pages on")
    cases = [str(case["id"]) for case in json.loads(command("cases", "--zone", "example", "--format", "json")) if "\\" in case["domain"]]
    check(len(cases) == len(settings["nasty"]), f"each such name has a case: {cases}")
    for case, typed in zip(cases + ["bad0.example"], TYPED):
        anna.get(f"{url}/cases/{case}")
        open_part(anna, "Note")
        one(anna, "#note").send_keys(typed)
        press(anna, "Add the note")
        check(typed in text_of(anna), f"the note is text on the page of {case}")
    anna.get(url + "/cases/bad0.example")
    leave(anna, one(anna, "a[href*='/notices/']").click)
    for typed in TYPED:
        open_part(anna, "Edit the paragraph")
        one(anna, "#paragraph").clear()
        one(anna, "#paragraph").send_keys(typed)
        press(anna, "Put it into the draft")
        shown = text_of(anna)
        check("The draft has your paragraph" in shown and any(words in shown for words in ["title='ran'", "color: red"]), f"the paragraph is text in the draft: {shown[:300]}")
    draft = anna.current_url.split("?")[0][len(url):]
    query = urllib.parse.quote(TYPED[0])
    paths = ["/cases", "/cases?state=all&sort=domain", f"/cases?text={query}&zone={query}", *[f"/cases/{case}" for case in cases], "/cases/bad0.example", "/drafts", draft,
             f"/lookup?q={query}", "/lookup?q=*.example", "/zones", "/outbox", "/exemptions", "/numbers", "/about", f"/cases/{query}", f"/login?next={query}"]
    for path in paths:
        anna.get(url + path)
        check(anna.title != "ran", f"nothing runs on {path}")
        time.sleep(0.2)
    check(Unguarded.reports == [], f"the policy has nothing to report: {Unguarded.reports[:3]}")
    anna.get(url + "/control")
    check(anna.title == "ran", "the policy is only reported here")
    for _ in range(100):
        if len(Unguarded.reports) >= 2:
            break
        time.sleep(0.1)
    check(len(Unguarded.reports) >= 2, "a page that breaks the policy is reported")
    say(f"{len(paths)} pages with the policy as one that is only reported: nothing was")
    server.shutdown()


BEGAN, browsers = time.monotonic(), []
try:
    for with_script in [True, False]:
        walk(with_script)
        while browsers:
            browsers.pop().quit()
    work_by_keyboard()
    look_unguarded()
    look_at_every_page()
    say(f"{checked['pages']} looks by axe-core at pages, light and dark, and {checked['keys']} pages by keyboard: nothing found")
finally:
    for browser in browsers:
        browser.quit()
