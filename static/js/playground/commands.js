// What the command palette offers: the page's own actions, models, presets, examples, conversations.

/** @typedef {import("./matching.js").Command} Command */

/**
 * @param {any} page the playground
 * @returns {Command[]}
 */
export function commandsOf(page) {
  return [...actions(page), ...models(page), ...examples(page), ...presets(page), ...conversations(page)];
}

/** @param {any} page @returns {Command[]} */
function actions({ texts, settings }) {
  /** @param {string} id */
  const press = (id) => () => document.getElementById(id)?.click();
  return [
    { label: texts.do_run, keys: "Ctrl/⌘ Enter", run: press("run") },
    { label: texts.do_stop, keys: "Esc", run: press("stop") },
    { label: texts.do_new, run: press("new-chat") },
    { label: texts.do_compare, run: press("compare") },
    { label: texts.do_code, run: press("view-code") },
    { label: texts.do_presets, run: press("presets") },
    { label: texts.do_share, run: press("share") },
    { label: texts.do_search, run: () => search(settings) },
    ...[...document.querySelectorAll("#mode label")].map((label) => ({
      label: label.textContent?.trim() ?? "",
      group: texts.mode,
      run: () => /** @type {HTMLElement} */ (label).click(),
    })),
    {
      label: texts.do_keys,
      keys: "?",
      run: () => /** @type {HTMLDialogElement} */ (document.getElementById("keys-dialog")).showModal(),
    },
  ];
}

/** @param {import("./settings-view.js").SettingsView} settings a sheet on a phone */
function search(settings) {
  settings.open();
  document.getElementById("history-search")?.focus();
}

/** @param {any} page @returns {Command[]} */
function models({ texts, settings }) {
  const options = /** @type {HTMLOptionElement[]} */ ([...settings.model.options]);
  return options
    .filter((option) => !option.disabled)
    .map((option) => ({
      label: option.value,
      group: option.dataset.paused ?? texts.model,
      run: () => {
        settings.model.value = option.value;
        settings.model.dispatchEvent(new Event("change"));
      },
    }));
}

/** @param {any} page @returns {Command[]} */
function examples(page) {
  return page.data.gallery.map((/** @type {any} */ example) => ({
    label: example.title,
    group: example.group,
    run: () => page.fill(example),
  }));
}

/** @param {any} page @returns {Command[]} */
function presets({ texts, presets: view }) {
  return view.list.map((/** @type {any} */ { id, name }) => ({
    label: name,
    group: texts.preset,
    run: () => void view.open(id),
  }));
}

/** @param {any} page @returns {Command[]} */
function conversations({ texts }) {
  const links = /** @type {NodeListOf<HTMLAnchorElement>} */ (
    document.querySelectorAll("a[data-conversation]")
  );
  return [...links].map((link) => ({
    label: link.textContent?.trim() ?? "",
    group: texts.history,
    run: () => link.click(),
  }));
}
