package online

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What a catalogue is held to.
const (
	MaxCatalogueBytes = 1 << 20
	MaxModels         = 512 // in a catalogue
	MaxFeatures       = 512 // of a model
)

var (
	modelName   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	featureName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,127}$`)
)

// SpecError is one mistake in a catalogue. ParseCatalogue returns all of them,
// joined, in the order of their lines.
type SpecError struct {
	Line   int    // of the YAML, from 1; 0 where it is the whole
	Path   string // such as models[1].model.LinearRegression.lr
	Reason string
}

func (e *SpecError) Error() string {
	if e.Line == 0 {
		return e.Path + ": " + e.Reason
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Path, e.Reason)
}

// Promotion says who names another champion than the catalogue's.
type Promotion string

const (
	// PromotionManual leaves it to people. It is the default.
	PromotionManual Promotion = "manual"
	// PromotionAutomatic makes the model with the least error the champion.
	PromotionAutomatic Promotion = "automatic"
)

// Catalogue is a list of models as data.
type Catalogue struct {
	Champion  string // the model whose prediction is served
	Promotion Promotion
	Models    []Spec // in the order of the file
}

// Spec is a pipeline as data, checked when it was parsed. It does not change.
type Spec struct {
	Name     string
	Features []string // in the order of the vector
	Seed     uint64

	kinds     Kinds
	steps     steps
	canonical []byte
}

// ParseCatalogue reads a catalogue in YAML or in the JSON that Catalogue
// encodes to. The error joins a *SpecError for every mistake.
func ParseCatalogue(data []byte, kinds Kinds) (*Catalogue, error) {
	if len(data) > MaxCatalogueBytes {
		return nil, &SpecError{Path: "catalogue", Reason: fmt.Sprintf("%d bytes are more than %d", len(data), MaxCatalogueBytes)}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("online: read catalogue: %w", err)
	}
	if len(doc.Content) == 0 {
		return nil, &SpecError{Path: "catalogue", Reason: "is empty"}
	}
	p := parser{kinds: kinds}
	c := p.catalogue(resolve(doc.Content[0]))
	if len(p.errs) > 0 {
		return nil, p.errs.join()
	}
	return c, nil
}

// Find returns the spec of the named model.
func (c *Catalogue) Find(name string) (Spec, bool) {
	for _, s := range c.Models {
		if s.Name == name {
			return s, true
		}
	}
	return Spec{}, false
}

// MarshalJSON encodes the catalogue in its canonical form: the same catalogue
// gives the same bytes however its YAML was written.
func (c *Catalogue) MarshalJSON() ([]byte, error) {
	models := make([]json.RawMessage, len(c.Models))
	for i, s := range c.Models {
		var err error
		if models[i], err = json.Marshal(s); err != nil {
			return nil, err
		}
	}
	promotion := c.Promotion
	if promotion == PromotionManual {
		promotion = "" // as before there was a choice
	}
	return json.Marshal(struct {
		Champion  string            `json:"champion"`
		Promotion Promotion         `json:"promotion,omitempty"`
		Models    []json.RawMessage `json:"models"`
	}{c.Champion, promotion, models})
}

// MarshalJSON encodes the spec in its canonical form, with its name.
func (s Spec) MarshalJSON() ([]byte, error) {
	name, err := json.Marshal(s.Name)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(`{"name":`), name, []byte(","), s.canonical[1:]), nil
}

// Hash identifies what the model is: features and their order, transformers,
// model, parameters and seed, in hexadecimal. The name is not part of it, nor
// is a parameter that has its default, so that a kind may gain parameters
// without disowning the states it has learned.
func (s Spec) Hash() string {
	sum := sha256.Sum256(s.canonical)
	return hex.EncodeToString(sum[:])
}

// New returns the pipeline with nothing learned.
func (s Spec) New() (*Pipeline, error) {
	p, _, errs := s.build()
	if len(errs) > 0 {
		return nil, errs.join()
	}
	return p, nil
}

// canonicalSpec has its fields in the order of the catalogue's documentation.
type canonicalSpec struct {
	Features []string `json:"features"`
	canonicalPipeline
	Seed uint64 `json:"seed,omitempty"`
}

type canonicalPipeline struct {
	Transformers []canonicalStep `json:"transformers,omitempty"`
	Model        canonicalStep   `json:"model"`
}

// canonicalStep is a kind and those of its parameters that are not the default.
type canonicalStep map[string]map[string]any

// build makes the pipeline and the form of the spec that is the same for equal pipelines.
func (s Spec) build() (*Pipeline, canonicalSpec, mistakes) {
	in := &inner{kinds: s.kinds, budget: &budget{}}
	p, canonical, errs := s.steps.build(s.Features, s.Seed, in)
	in.budget.read = true
	return p, canonicalSpec{s.Features, canonical, s.Seed}, errs
}

// mistakes collects what is wrong with a catalogue.
type mistakes []*SpecError

func (m *mistakes) add(node *yaml.Node, path, format string, args ...any) {
	e := &SpecError{Path: path, Reason: fmt.Sprintf(format, args...)}
	if node != nil {
		e.Line = node.Line
	}
	*m = append(*m, e)
}

func (m mistakes) join() error {
	slices.SortStableFunc(m, func(a, b *SpecError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Path, b.Path))
	})
	errs := make([]error, len(m))
	for i, e := range m {
		errs[i] = e
	}
	return errors.Join(errs...)
}
