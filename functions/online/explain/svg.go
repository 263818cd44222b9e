package explain

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"strings"
	"unicode/utf8"

	"tripcast.dev/functions/online"
)

// ErrNoTree is returned where there is no tree to draw.
var ErrNoTree = errors.New("explain: the model has no tree to draw")

// Sizes of a drawing, in pixels.
const (
	glyph     = 6.4 // of a character, about
	lineStep  = 15.0
	boxHeight = 40.0
	levelStep = 84.0
	gap       = 14.0
	margin    = 16.0
	title     = 28.0
)

// SVG draws every tree of an explanation, one below the other, as a picture that
// needs nothing else. The darker a node, the larger its mean. Alternate trees
// hang on dashed lines. Where there is no tree it is an ErrNoTree, and where
// none has learned anything.
func SVG(w io.Writer, e online.Explanation, o Options) error {
	var d drawing
	d.options = o
	d.trees(e, e.Kind)
	if d.height == 0 {
		return ErrNoTree
	}
	width, height := d.width+2*margin, d.height+2*margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" role="img" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", html.EscapeString(e.Kind))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	b.Write(d.lines.Bytes())
	b.Write(d.boxes.Bytes())
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// drawing is what has been drawn, and how large it is.
type drawing struct {
	options       Options
	lines, boxes  bytes.Buffer // boxes come over lines
	width, height float64

	// Of the tree that is being drawn:
	box       float64 // width of a node
	low, high float64 // means
	next      float64 // where the next leaf comes
	top       float64
}

// trees draws those of an explanation and of its parts.
func (d *drawing) trees(e online.Explanation, path string) {
	if e.Tree != nil {
		d.tree(e.Tree, path)
	}
	for _, p := range e.Parts {
		d.trees(p.Explanation, path+" / "+p.Role+": "+p.Explanation.Kind)
	}
}

func (d *drawing) tree(root *online.Node, path string) {
	d.box, d.low, d.high, d.next = 0, root.Mean, root.Mean, margin
	d.measure(root, 0)
	d.box += 2 * gap
	fmt.Fprintf(&d.boxes, `<text x="%.1f" y="%.1f" font-weight="bold">%s</text>`+"\n", margin, d.height+margin+lineStep, html.EscapeString(path))
	d.top = d.height + margin + title
	d.width = max(d.width, float64(utf8.RuneCountInString(path))*glyph)
	_, depth := d.node(root, 0)
	d.width = max(d.width, d.next-margin)
	d.height = d.top - margin + float64(float64(depth)*levelStep) + boxHeight + title
}

// measure finds the longest text and the range of the means.
func (d *drawing) measure(n *online.Node, depth int) {
	for _, line := range d.text(n, depth) {
		d.box = max(d.box, float64(utf8.RuneCountInString(line))*glyph)
	}
	d.low, d.high = min(d.low, n.Mean), max(d.high, n.Mean)
	for _, c := range d.children(n, depth) {
		d.measure(c.node, depth+1)
	}
}

// text is what is written in the box of a node.
func (d *drawing) text(n *online.Node, depth int) []string {
	switch {
	case n.Leaf():
		return strings.SplitN(learned(n), ", ", 2)
	case d.options.deep(depth):
		return []string{question(n), fmt.Sprintf("%s, … %d below", learned(n), below(n))}
	}
	return []string{question(n), learned(n)}
}

// child is a node and the answer that leads to it.
type child struct {
	node   *online.Node
	answer string
}

// children are those of a node that are drawn.
func (d *drawing) children(n *online.Node, depth int) []child {
	if n.Leaf() || d.options.deep(depth) {
		return nil
	}
	children := []child{{n.Left, "yes"}, {n.Right, "no"}}
	if n.Alternate != nil {
		children = append(children, child{n.Alternate, "or else"})
	}
	return children
}

// node draws a node and all below it, and returns where its middle is and how
// deep the deepest of them lies.
func (d *drawing) node(n *online.Node, depth int) (middle float64, deepest int) {
	children := d.children(n, depth)
	middles := make([]float64, len(children))
	deepest = depth
	for i, c := range children {
		var deep int
		middles[i], deep = d.node(c.node, depth+1)
		deepest = max(deepest, deep)
	}
	y := d.top + float64(float64(depth)*levelStep)
	if len(children) == 0 {
		middle = d.next + float64(d.box/2)
		d.next += d.box + gap
	} else {
		middle = (middles[0] + middles[1]) / 2
	}
	for i, c := range children {
		d.line(middle, y+boxHeight, middles[i], y+levelStep, c.answer)
	}
	d.draw(n, middle-float64(d.box/2), y, d.text(n, depth))
	return middle, deepest
}

func (d *drawing) line(x1, y1, x2, y2 float64, answer string) {
	dash := ""
	if answer == "or else" {
		dash = ` stroke-dasharray="4 3"`
	}
	fmt.Fprintf(&d.lines, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#888"%s/>`+"\n", x1, y1, x2, y2, dash)
	fmt.Fprintf(&d.lines, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#555" font-size="11">%s</text>`+"\n", (x1+x2+x2)/3, (y1+y2+y2)/3, answer)
}

func (d *drawing) draw(n *online.Node, x, y float64, lines []string) {
	radius := 3
	if n.Leaf() {
		radius = 12
	}
	fmt.Fprintf(&d.boxes, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%d" fill="%s" stroke="#555"/>`+"\n", x, y, d.box, boxHeight, radius, d.shade(n.Mean))
	first := y + boxHeight/2 + 4 - float64(float64(len(lines)-1)*lineStep/2)
	for i, line := range lines {
		fmt.Fprintf(&d.boxes, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", x+float64(d.box/2), first+float64(float64(i)*lineStep), html.EscapeString(line))
	}
}

// shade is a blue that is as dark as a mean is large, and that black can be read on.
func (d *drawing) shade(mean float64) string {
	part := 0.0
	if d.high > d.low { // halved, as the largest labels differ by more than a float can say
		part = (float64(mean/2) - float64(d.low/2)) / (float64(d.high/2) - float64(d.low/2))
	}
	mix := func(light, dark float64) int { return int(light + float64(part*(dark-light))) }
	return fmt.Sprintf("#%02x%02x%02x", mix(0xf2, 0x8a), mix(0xf7, 0xb7), mix(0xfc, 0xe4))
}
