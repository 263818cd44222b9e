package browser

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// maxPicture is what a picture of the README may weigh.
const maxPicture = 300_000

// TestPicture draws the pictures of the README, of a main job that has run for
// some minutes.
func TestPicture(t *testing.T) {
	if !*update {
		t.Skip("the README's pictures are drawn anew with -update")
	}
	folder := t.TempDir()
	c := startChromium(t, folder)
	s := startSystem(t, "--speed", "120")
	c.step(t, "picture", map[string]any{"url": s.readOnly, "trips": 12_000, "names": map[string]string{"light": "dashboard", "dark": "dashboard-dark"}}, nil)
	for _, name := range []string{"dashboard.png", "dashboard-dark.png"} {
		screen, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		picture, err := fewColours(screen)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%s: %d bytes, of %d", name, len(picture), len(screen))
		if len(picture) > maxPicture {
			t.Errorf("%s has %d bytes, want at most %d", name, len(picture), maxPicture)
		}
		if err := os.WriteFile(filepath.Join("../../docs", name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// fewColours is a PNG in 256 colours, which a third of the bytes is enough for:
// of colours that look alike the most frequent, and of those the most frequent.
func fewColours(screen []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(screen))
	if err != nil {
		return nil, err
	}
	pixels := map[color.RGBA]int{}
	each(from, func(_, _ int, c color.RGBA) { pixels[c]++ })
	to := image.NewPaletted(from.Bounds(), palette(pixels))
	indices := map[color.RGBA]uint8{}
	for c := range pixels {
		indices[c] = uint8(to.Palette.Index(c))
	}
	each(from, func(x, y int, c color.RGBA) { to.SetColorIndex(x, y, indices[c]) })
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}

func palette(pixels map[color.RGBA]int) (p color.Palette) {
	type alike struct {
		most  color.RGBA
		total int
	}
	all := map[color.RGBA]*alike{}
	for c, n := range pixels {
		key := color.RGBA{c.R >> 3, c.G >> 3, c.B >> 3, 0}
		if all[key] == nil {
			all[key] = &alike{most: c}
		}
		if all[key].total += n; n > pixels[all[key].most] {
			all[key].most = c
		}
	}
	frequent := []*alike{}
	for _, a := range all {
		frequent = append(frequent, a)
	}
	slices.SortFunc(frequent, func(a, b *alike) int { return cmp.Compare(b.total, a.total) })
	for _, a := range frequent[:min(256, len(frequent))] {
		p = append(p, a.most)
	}
	return p
}

func each(i image.Image, visit func(x, y int, c color.RGBA)) {
	for y := i.Bounds().Min.Y; y < i.Bounds().Max.Y; y++ {
		for x := i.Bounds().Min.X; x < i.Bounds().Max.X; x++ {
			visit(x, y, color.RGBAModel.Convert(i.At(x, y)).(color.RGBA))
		}
	}
}
