package registry_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

func Example() {
	if err := learnAndPredict(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// tips: version 1, duplicate false
	// tips: version 1, duplicate true
	// tips predicts 0.04 with version 1
}

func learnAndPredict(ctx context.Context) error {
	server, err := miniredis.Run() // any Redis from 6.2 on
	if err != nil {
		return err
	}
	defer server.Close()
	client, err := registry.Open("redis://" + server.Addr())
	if err != nil {
		return err
	}
	defer client.Close()

	catalogue, err := online.ParseCatalogue([]byte(`
champion: tips
models:
  - {name: tips, features: [fare], transformers: [StandardScaler], model: LinearRegression}
`), kinds.All())
	if err != nil {
		return err
	}
	if err := registry.Apply(ctx, client, catalogue); err != nil {
		return err
	}

	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{})
	trip := registry.Label{ID: "trip-1", Features: map[string]float64{"fare": 10}, Y: 2}
	for range 2 { // it comes twice and is learned once
		outcomes, err := committer.Learn(ctx, trip)
		if err != nil {
			return err
		}
		for _, o := range outcomes {
			fmt.Printf("%s: version %d, duplicate %t\n", o.Model, o.Version, o.Duplicate)
		}
	}
	if err := committer.Close(ctx); err != nil {
		return err
	}

	models, err := registry.NewReader(client, kinds.All(), registry.ReaderOptions{}).Models(ctx)
	if err != nil {
		return err
	}
	for _, m := range models.Healthy {
		x := m.Pipeline.Vector(nil, map[string]float64{"fare": 10})
		fmt.Printf("%s predicts %.2f with version %d\n", m.Name, m.Pipeline.Predict(x), m.Version)
	}
	return nil
}
