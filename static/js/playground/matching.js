// Which commands fit what was typed, the best first.

/**
 * @typedef {object} Command
 * @property {string} label
 * @property {string} [group]
 * @property {string} [keys] how it is reached without the palette
 * @property {() => void} run
 */

/**
 * Every word has to be somewhere in a command; those that begin with the first word come first.
 * @template {{label: string, group?: string}} T
 * @param {T[]} commands
 * @param {string} typed
 * @returns {T[]}
 */
export function matching(commands, typed) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return commands;
  const found = commands.filter(({ label, group = "" }) => {
    const text = `${group} ${label}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  /** @param {T} command */
  const rank = ({ label }) => Number(!label.toLowerCase().startsWith(words[0]));
  return found.sort((one, other) => rank(one) - rank(other));
}
