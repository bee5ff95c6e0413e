// Comfort alone: every page works without this.
// In the queue: j and k go through the rows, o opens, a acknowledges, d opens the case to dismiss it, / goes to the filter.
"use strict";
(function () {
  const rows = Array.from(document.querySelectorAll("tr[data-case]"));
  let at = -1;
  function choose(to) {
    if (to < 0 || to >= rows.length) return;
    if (at >= 0) rows[at].classList.remove("chosen");
    at = to;
    rows[at].classList.add("chosen");
    const link = rows[at].querySelector("a");
    link.focus();
    rows[at].scrollIntoView({ block: "nearest" });
  }
  function open(part) {
    if (at >= 0) location.assign("/cases/" + rows[at].dataset.case + part);
  }
  document.addEventListener("keydown", function (event) {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("input, select, textarea")) return;
    const field = document.querySelector("#f-text, #q");
    switch (event.key) {
      case "j": choose(at + 1); break;
      case "k": choose(at - 1); break;
      case "o": open(""); break;
      case "a": open("#ack"); break;
      case "d": open("#dismiss"); break;
      case "/": if (field) { field.focus(); event.preventDefault(); } break;
    }
  });
  // A link to a step opens it; the step itself is a button that is pressed.
  const step = location.hash && document.getElementById(location.hash.slice(1));
  if (step && step.tagName === "DETAILS") { step.open = true; step.querySelector("select, input:not([type=hidden]), textarea").focus(); }
  if (step && step.tagName === "BUTTON") step.focus();
  // How many cases fit now; no row moves.
  const count = document.getElementById("count"), news = document.getElementById("news");
  if (!count || !news) return;
  setInterval(function () {
    if (document.hidden) return;
    fetch("/cases/count" + count.dataset.query, { credentials: "same-origin" }).then(function (answer) {
      return answer.ok ? answer.json() : null;
    }).then(function (says) {
      if (!says) return;
      const more = says.count - Number(count.dataset.shown);
      news.textContent = more === 0 ? "" : (more > 0 ? more + " more" : -more + " fewer") + " since you opened this page: load it again to see them";
    }).catch(function () {});
  }, 30000);
})();
