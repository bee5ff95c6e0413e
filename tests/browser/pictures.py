"""Takes the pictures of README and manual anew, of the sample, in Debian's Chromium.

    pictures.py PROGRAM

PROGRAM is fluxwatch. Needs what tests/browser/install brings, and selenium and pillow in this python. Look at the pictures before
you commit them.
"""

import io
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs/pictures"
PASSWORD = "a picture of a console"
# Somebody to whom a draft is addressed: the network of most addresses of the sample's flux.
MORE = """
[[recipient]]
network = 64496
address = "abuse@hoster.example"

[web]
listen = "127.0.0.1:{port}"
users_file = "users"
"""


def free_port():
    """Returns a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(width, height):
    """Starts a browser with a page of this size."""
    options = webdriver.ChromeOptions()
    for word in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]:
        options.add_argument(word)
    options.binary_location = "/usr/bin/chromium"
    browser = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return browser


def main():
    """Polls the sample, starts its console, and takes the pictures."""
    program = str(pathlib.Path(sys.argv[1]).resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pictures."))
    try:
        shutil.copytree(ROOT / "data/sample", folder / "sample")
        config, port = folder / "sample/fluxwatch.toml", free_port()
        text = config.read_text().replace("../../fluxwatch-sample", "made")
        config.write_text(text + MORE.format(port=port))

        def run(*words, **more):
            return subprocess.run([program, "--config", config, *words], check=True, capture_output=True, text=True, **more).stdout

        run("users", "add", "anna", "--role", "approver", input=PASSWORD + "\n")
        run("poll")
        service = subprocess.Popen([program, "--config", config, "run"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            take(run, port, folder)
        finally:
            service.terminate()
            service.wait()
    finally:
        shutil.rmtree(folder)


def picture(browser, name):
    """Takes what a browser shows, in the few colours that a page has."""
    shown = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    shown.quantize(64).save(PICTURES / f"{name}.png", optimize=True)


def take(run, port, folder):
    """Takes the pictures."""
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    browser = start(1280, 900)
    url = f"http://localhost:{port}"
    browser.get(url + "/cases")
    browser.find_element(By.ID, "name").send_keys("anna")
    browser.find_element(By.ID, "password").send_keys(PASSWORD, Keys.ENTER)
    for _ in range(100):
        if browser.current_url.endswith("/cases"):
            break
        time.sleep(0.1)
    picture(browser, "console-queue")
    browser.find_element(By.CSS_SELECTOR, ".queue tbody tr td:nth-child(3) a").click()
    time.sleep(1)
    picture(browser, "console-case")
    browser.get(url + "/drafts")
    browser.find_element(By.CSS_SELECTOR, "main table a").click()
    time.sleep(1)
    picture(browser, "console-draft")
    browser.quit()
    report = folder / "report.html"
    report.write_text(run("report", "preview", "FW-000005", "--format", "html"))
    browser = start(600, 900)
    browser.get(report.as_uri())
    picture(browser, "report")
    browser.quit()


main()
