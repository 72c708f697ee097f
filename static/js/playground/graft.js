/**
 * Makes `old` what `fresh` is, and leaves alone what is the same: only what changed is laid out anew,
 * and a selection, a focus or a scrolled box in the rest stays.
 * @param {Node} old
 * @param {Node} fresh gives its nodes away
 */
export function graft(old, fresh) {
  const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
  for (const [at, node] of after.entries()) {
    const there = before[at];
    if (!there) old.appendChild(node);
    else if (there.isEqualNode(node)) continue;
    else if (isAlike(there, node)) graft(there, node);
    else old.replaceChild(node, there);
  }
  for (const node of before.slice(after.length)) old.removeChild(node);
}

/**
 * Whether two nodes differ in what is inside them at most.
 * @param {Node} one
 * @param {Node} other
 */
function isAlike(one, other) {
  return one instanceof Element && one.cloneNode(false).isEqualNode(other.cloneNode(false));
}
