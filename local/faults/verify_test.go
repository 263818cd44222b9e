package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/local/eventing"
)

// finish waits for the KafkaSources and holds what became of it all to what is
// promised.
func (s *system) finish(t *testing.T) {
	t.Helper()
	s.await("every label is delivered", s.delivered)
	if err := s.verify(t.Context()); err != nil {
		t.Error(err)
	}
	commits := 0
	infos, err := registry.Heads(t.Context(), s.client, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		commits += int(info.Version)
	}
	s.report(commits)
}

// verify returns all that is not as it is promised.
func (s *system) verify(ctx context.Context) error {
	errs := []error{s.everyLabelTwice()}
	infos, err := registry.List(ctx, s.client, kinds.All())
	if err != nil {
		return err
	}
	for i, spec := range s.catalogue.Models {
		info := infos[i]
		if info.Broken != "" {
			errs = append(errs, fmt.Errorf("%s: %s", spec.Name, info.Broken))
			continue
		}
		if info.Count != uint64(s.labels) {
			errs = append(errs, fmt.Errorf("%s: %d labels are behind it, want %d", spec.Name, info.Count, s.labels))
		}
		if err := s.verifyModel(ctx, spec); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", spec.Name, err))
		}
	}
	return errors.Join(errs...)
}

// everyLabelTwice holds the deliveries to what the run is about.
func (s *system) everyLabelTwice() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.outcomes[eventing.DeadLettered] + s.outcomes[eventing.Dropped]; n > 0 {
		return fmt.Errorf("%d records were not delivered: %v", n, s.why)
	}
	for n := range s.labels {
		if times := s.learned[tripID(n)]; times < copies {
			return fmt.Errorf("%s was acknowledged %d times, it is in the topic %d times", tripID(n), times, copies)
		}
	}
	return nil
}

// verifyModel holds a model to what Redis says of how it came about.
func (s *system) verifyModel(ctx context.Context, spec online.Spec) error {
	order, err := s.order(ctx, spec.Name)
	if err != nil {
		return err
	}
	if err := s.onceEach(ctx, spec.Name, order); err != nil {
		return err
	}
	state, err := s.client.HGet(ctx, "tripcast:{"+spec.Name+"}:head", "state").Bytes()
	if err != nil {
		return err
	}
	again, err := learnOnce(spec, order)
	if err != nil {
		return err
	}
	if !bytes.Equal(state, again) {
		return errors.New("the state is not that of its labels in their order, learned once in one process")
	}
	return s.travel(ctx, spec.Name, state)
}

// order returns the labels that a model has learned, in the order it has
// committed them in, from what is in Redis and nothing else.
func (s *system) order(ctx context.Context, model string) ([]string, error) {
	lineage, err := s.client.XRange(ctx, "tripcast:{"+model+"}:lineage", "-", "+").Result()
	if err != nil {
		return nil, err
	}
	learned, err := s.client.XRange(ctx, "tripcast:{"+model+"}:labels", "-", "+").Result()
	if err != nil {
		return nil, err
	}
	if len(lineage) != len(learned) {
		return nil, fmt.Errorf("%d commits, and labels of %d", len(lineage), len(learned))
	}
	var order []string
	before := ""
	for i, entry := range lineage {
		var c registry.Commit
		var ids []string
		text, _ := entry.Values["json"].(string)
		labels, _ := learned[i].Values["json"].(string)
		if err := errors.Join(json.Unmarshal([]byte(text), &c), json.Unmarshal([]byte(labels), &ids)); err != nil {
			return nil, err
		}
		order = append(order, ids...)
		switch {
		case c.Parent != before:
			return nil, fmt.Errorf("version %d came after commit %q, which is not the one before, %q", c.Version, c.Parent, before)
		case c.Version != uint64(i+1) || learned[i].ID != entry.ID:
			return nil, fmt.Errorf("commit %d is of version %d, its labels in entry %s", i+1, c.Version, learned[i].ID)
		case c.Count != uint64(len(order)):
			return nil, fmt.Errorf("version %d has a count of %d after %d labels", c.Version, c.Count, len(order))
		}
		before = c.Name
	}
	name, err := s.client.HGet(ctx, "tripcast:{"+model+"}:head", "commit").Result()
	if err == nil && name != before {
		err = fmt.Errorf("the head is of commit %q, which is not the one before, %q", name, before)
	}
	return order, err
}

// onceEach returns an error where a label was not learned once, or is not known
// to be learned.
func (s *system) onceEach(ctx context.Context, model string, order []string) error {
	times := make(map[string]int, len(order))
	for _, id := range order {
		times[id]++
	}
	for n := range s.labels {
		switch id := tripID(n); times[id] {
		case 0:
			return fmt.Errorf("%s was acknowledged and never learned", id)
		case 1:
			delete(times, id)
		default:
			return fmt.Errorf("%s was learned %d times", id, times[id])
		}
	}
	if len(times) > 0 {
		return fmt.Errorf("it has learned what there was not: %.200v", slices.Collect(maps.Keys(times)))
	}
	var known int64
	for _, set := range []string{"a", "b"} {
		n, err := s.client.SCard(ctx, "tripcast:{"+model+"}:ids:"+set).Result()
		if err != nil {
			return err
		}
		known += n
	}
	if known != int64(s.labels) {
		return fmt.Errorf("%d labels are known to be learned, want %d", known, s.labels)
	}
	return nil
}

// learnOnce is what a reader of River's or of ours would write.
func learnOnce(spec online.Spec, order []string) ([]byte, error) {
	p, err := spec.New()
	if err != nil {
		return nil, err
	}
	var x []float64
	for _, id := range order {
		var n int
		if _, err := fmt.Sscanf(id, "trip-%d", &n); err != nil {
			return nil, err
		}
		l := labelN(n)
		x = p.Vector(x[:0], l.Features)
		if err := p.Teach(x, l.Y); err != nil {
			return nil, err
		}
	}
	return p.AppendBinary(nil)
}

// travel has the registry rebuild the model, which compares the snapshots on the
// way as well.
func (s *system) travel(ctx context.Context, model string, state []byte) error {
	j, err := registry.Travel(ctx, s.client, kinds.All(), model, registry.Destination{}, true)
	if err != nil {
		return err
	}
	labels := make(map[string]registry.Label, s.labels)
	for n := range s.labels {
		labels[tripID(n)] = labelN(n)
	}
	r, err := j.Rebuild(ctx, labels)
	if err != nil {
		return err
	}
	if !bytes.Equal(r.State, state) || r.Count != uint64(s.labels) || len(r.Checked) == 0 || r.Checked[len(r.Checked)-1] != j.Version() {
		return fmt.Errorf("rebuilt, it has %d labels, and is compared at %v with another state", r.Count, r.Checked)
	}
	return nil
}
