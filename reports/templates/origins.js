"use strict";
// Where a number comes from: its files, the encoder, the lines of the configuration, and the command that makes it again.
(() => {
  const facts = JSON.parse(document.getElementById("origins").textContent);
  const dialog = document.getElementById("origin");
  const place = document.getElementById("origin-text");

  function element(name, ...content) {
    const made = document.createElement(name);
    made.append(...content);
    return made;
  }

  function link(href, text) {
    const made = element("a", element("code", text));
    made.href = href;
    return made;
  }

  // The path of a file as a command takes it: as it is seen from the folder of the run.
  function pathOf(href) {
    const path = decodeURIComponent(href);
    return path.startsWith(`${facts.root}/`) ? path.slice(facts.root.length + 1) : path;
  }

  const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

  function add(list, head, ...items) {
    list.append(element("dt", head), ...items.map((item) => element("dd", item)));
  }

  function copyable(text) {
    const box = element("pre", text);
    const button = element("button", "Copy");
    button.type = "button";
    button.addEventListener("click", async () => {
      let done = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // Some browsers give files no clipboard: what is marked can be copied all the same.
        getSelection().selectAllChildren(box);
        done = document.execCommand("copy");
      }
      button.textContent = done ? "Copied" : "Marked: press Ctrl+C";
    });
    return element("div", box, button);
  }

  function configuration(list, block, name) {
    const found = facts.config[block]?.[name];
    if (!found) return;
    const [identifier, first, last] = found;
    const link = element("a", `${block}: ${name}, lines ${first} to ${last} of the configuration`);
    link.href = `#${identifier}`;
    link.addEventListener("click", () => dialog.close());
    const box = element("div", link, element("pre", document.getElementById(identifier)?.textContent ?? ""));
    list.append(element("dd", box));
  }

  function show(button) {
    const [row, table] = [button.closest("tr"), button.closest("table")];
    const { method, profile } = row.dataset;
    const { study, evaluation, measure } = table.dataset;
    const files = [...row.querySelectorAll('a[href$=".csv"]')];
    const hrefs = files.map((file) => file.getAttribute("href"));
    const list = document.createElement("dl");
    const title = profile === "none" ? method : `${method} × ${profile}`;
    const over = files.length > 1 ? `, the mean over seeds ${files.map((file) => file.textContent).join(", ")}` : files.length ? `, seed ${files[0].textContent}` : "";
    add(list, `${title}, ${study}`, `${evaluation}: ${measure} = ${button.textContent}${over}`);
    if (hrefs.length) {
      add(list, "Scores", ...hrefs.map((href) => link(href, pathOf(href))));
      add(list, "Single results", ...hrefs.map((href) => link(href.replace(/csv$/, "parquet"), pathOf(href).replace(/csv$/, "parquet"))));
    }
    const encoders = facts.encoders[study]?.[method] ?? [];
    if (encoders.length) add(list, "Encoder", ...encoders.map((file) => link(file.href, file.path)));
    else add(list, "Encoder", "none of its own in this run");
    if (hrefs.length) {
      add(list, "To make it again", copyable(`${facts.command} ${hrefs.map((href) => quoted(pathOf(href))).join(" ")}`));
    }
    list.append(element("dt", "Configuration"));
    configuration(list, "methods", method);
    configuration(list, "profiles", profile);
    configuration(list, "evaluations", evaluation);
    configuration(list, "studies", study);
    place.replaceChildren(list);
    for (const other of document.querySelectorAll("tr.picked")) other.classList.remove("picked");
    row.classList.add("picked");
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button.from");
    if (button) show(button);
    else if (event.target === dialog) dialog.close(); // beside it
  });
})();
