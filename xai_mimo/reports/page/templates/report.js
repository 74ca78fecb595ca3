(function () {
  "use strict";
  var heads = document.querySelectorAll("details.section");
  function set(open) { heads.forEach(function (d) { d.open = open; }); }
  function follow() {
    var target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
  }
  var tools = document.querySelector(".tools");
  tools.hidden = heads.length < 2;
  tools.addEventListener("click", function (event) {
    if (event.target.dataset.open !== undefined) { set(Boolean(event.target.dataset.open)); }
  });
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  });
  follow();
})();
