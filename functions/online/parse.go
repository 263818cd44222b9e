package online

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parser walks the YAML of a catalogue by hand, because every mistake is to be
// reported with its line and a decoder into structs forgets the lines.
type parser struct {
	kinds Kinds
	errs  mistakes
}

func (p *parser) catalogue(node *yaml.Node) *Catalogue {
	c := &Catalogue{Promotion: PromotionManual}
	var champion *yaml.Node
	fields := p.fields(node, "catalogue", "", "champion", "promotion", "models")
	if node.Kind != yaml.MappingNode {
		return c
	}
	if champion = fields["champion"]; champion != nil {
		c.Champion = p.text(champion, "champion")
	}
	if promotion := fields["promotion"]; promotion != nil {
		c.Promotion = Promotion(p.text(promotion, "promotion"))
		if c.Promotion != "" && c.Promotion != PromotionManual && c.Promotion != PromotionAutomatic {
			p.errs.add(promotion, "promotion", "%q is neither %s nor %s", c.Promotion, PromotionManual, PromotionAutomatic)
		}
	}
	models := fields["models"]
	if models == nil || models.Kind != yaml.SequenceNode || len(models.Content) == 0 {
		p.errs.add(firstNode(models, node), "models", "is not a list of models")
		return c
	}
	if len(models.Content) > MaxModels {
		p.errs.add(models, "models", "%d are more than %d", len(models.Content), MaxModels)
		return c
	}
	seen := map[string]int{}
	for i, item := range models.Content {
		path := fmt.Sprintf("models[%d]", i)
		spec := p.spec(resolve(item), path)
		if line, ok := seen[spec.Name]; ok && spec.Name != "" {
			p.errs.add(item, path+".name", "%q is the name of the model in line %d", spec.Name, line)
		}
		seen[spec.Name] = item.Line
		c.Models = append(c.Models, spec)
	}
	switch _, ok := seen[c.Champion]; {
	case champion == nil:
		p.errs.add(node, "champion", "is missing")
	case c.Champion != "" && !ok:
		p.errs.add(champion, "champion", "%q is not the name of a model", c.Champion)
	}
	return c
}

func (p *parser) spec(node *yaml.Node, path string) Spec {
	fields := p.fields(node, path, path+".", "name", "features", "transformers", "model", "seed")
	s := Spec{kinds: p.kinds}
	before := len(p.errs)
	if name := fields["name"]; name == nil {
		p.errs.add(node, path+".name", "is missing")
	} else if s.Name = p.text(name, path+".name"); s.Name != "" && !modelName.MatchString(s.Name) {
		p.errs.add(name, path+".name", "%q is not lower-case letters, digits, '.', '_' and '-', at most 63", s.Name)
	}
	s.Features = p.features(firstNode(fields["features"], node), path+".features")
	if seed := fields["seed"]; seed != nil {
		var err error
		if s.Seed, err = strconv.ParseUint(seed.Value, 10, 64); err != nil || seed.Kind != yaml.ScalarNode {
			p.errs.add(seed, path+".seed", "%q is not a whole number from 0", seed.Value)
		}
	}
	s.steps = p.steps(node, path, fields)
	if len(p.errs) > before {
		return s // what it would build is not what was meant
	}
	_, canonical, errs := s.build()
	p.errs = append(p.errs, errs...)
	var err error
	if s.canonical, err = json.Marshal(canonical); err != nil {
		p.errs.add(node, path, "cannot be encoded: %v", err)
	}
	return s
}

// steps reads the fields transformers and model of a mapping.
func (p *parser) steps(node *yaml.Node, path string, fields map[string]*yaml.Node) steps {
	var s steps
	if list := fields["transformers"]; list != nil && list.Tag != "!!null" {
		if list.Kind != yaml.SequenceNode {
			p.errs.add(list, path+".transformers", "is not a list")
			return s
		}
		for i, item := range list.Content {
			s.transformers = append(s.transformers, p.step(resolve(item), fmt.Sprintf("%s.transformers[%d]", path, i)))
		}
	}
	if model := fields["model"]; model == nil {
		p.errs.add(node, path+".model", "is missing")
	} else {
		s.model = p.step(model, path+".model")
	}
	return s
}

func (p *parser) features(node *yaml.Node, path string) []string {
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
		p.errs.add(node, path, "is not a list of at least one feature")
		return nil
	}
	if len(node.Content) > MaxFeatures {
		p.errs.add(node, path, "%d are more than %d", len(node.Content), MaxFeatures)
		return nil
	}
	seen := map[string]bool{}
	var features []string
	for i, item := range node.Content {
		item, path := resolve(item), fmt.Sprintf("%s[%d]", path, i)
		name := p.text(item, path)
		switch {
		case name == "":
		case !featureName.MatchString(name):
			p.errs.add(item, path, "%q is not letters, digits, '_', '.' and '-', from a letter on", name)
		case seen[name]:
			p.errs.add(item, path, "%q is there twice", name)
		}
		seen[name] = true
		features = append(features, name)
	}
	return features
}

// step reads `Kind` or `{Kind: {parameter: value}}`.
func (p *parser) step(node *yaml.Node, path string) step {
	s := step{path: path, node: node}
	switch {
	case node.Kind == yaml.ScalarNode && node.Tag == "!!str":
		s.kind = node.Value
	case node.Kind == yaml.MappingNode && len(node.Content) == 2:
		s.kind, s.params = node.Content[0].Value, resolve(node.Content[1])
	default:
		p.errs.add(node, path, "is not one kind with its parameters, as in {StandardScaler: {}}")
	}
	return s
}

// fields returns the values of a mapping and reports keys that are not known.
func (p *parser) fields(node *yaml.Node, path, prefix string, known ...string) map[string]*yaml.Node {
	values := map[string]*yaml.Node{}
	if node.Kind != yaml.MappingNode {
		p.errs.add(node, path, "is not a mapping")
		return values
	}
	eachPair(node, path, &p.errs, func(key, value *yaml.Node) {
		for _, k := range known {
			if key.Value == k {
				values[k] = value
				return
			}
		}
		p.errs.add(key, prefix+key.Value, "is unknown: there are %s", strings.Join(known, ", "))
	})
	return values
}

func (p *parser) text(node *yaml.Node, path string) string {
	if node.Kind != yaml.ScalarNode || node.Tag != "!!str" || node.Value == "" {
		p.errs.add(node, path, "is not a name")
		return ""
	}
	return node.Value
}

// eachPair calls visit for every key of a mapping and reports those that are there twice.
func eachPair(node *yaml.Node, path string, errs *mistakes, visit func(key, value *yaml.Node)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], resolve(node.Content[i+1])
		if seen[key.Value] {
			errs.add(key, path, "has %q twice", key.Value)
		}
		seen[key.Value] = true
		visit(key, value)
	}
}

// resolve follows an alias to what it stands for.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// firstNode returns the first node that is there.
func firstNode(nodes ...*yaml.Node) *yaml.Node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}
