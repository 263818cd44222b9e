// Makes one tree like another by changing only what differs: what is open stays
// open, what has the focus keeps it, and nothing that is the same flickers.

export function morph(from, to) {
  const children = [...to.childNodes];
  children.forEach((wanted, i) => {
    const have = from.childNodes[i];
    if (!have) from.append(wanted);
    else if (have.nodeType !== wanted.nodeType || have.nodeName !== wanted.nodeName) have.replaceWith(wanted);
    else if (have.nodeType !== Node.ELEMENT_NODE) {
      if (have.data !== wanted.data) have.data = wanted.data;
    } else {
      copyAttributes(have, wanted);
      morph(have, wanted);
    }
  });
  while (from.childNodes.length > children.length) from.lastChild.remove();
}

// What the browser or these scripts have set and the server does not know of.
const OURS = new Set(['open', 'data-colour', 'data-trend']);

function copyAttributes(have, wanted) {
  for (const { name, value } of wanted.attributes) {
    if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
  for (const { name } of [...have.attributes]) {
    if (!wanted.hasAttribute(name) && !OURS.has(name)) have.removeAttribute(name);
  }
}
