package evaluate_test

import (
	"context"
	"fmt"
	"log"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/linear"
)

func Example() {
	ctx := context.Background()
	samples, err := evaluate.Open("testdata/samples.csv")
	if err != nil {
		log.Fatal(err)
	}
	defer samples.Close()

	var models []evaluate.Model
	for _, lr := range []float64{0.001, 0.1} {
		config := linear.DefaultConfig()
		config.InterceptLR = lr
		p, err := online.NewPipeline([]string{"l1_distance"}, nil, linear.NewRegression(1, config))
		if err != nil {
			log.Fatal(err)
		}
		models = append(models, evaluate.Model{Name: fmt.Sprint(lr), Pipeline: p})
	}
	results, err := evaluate.Progressive(ctx, samples.Features(), samples.Samples(ctx), models, evaluate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range evaluate.Best(results) {
		fmt.Printf("%s: off by %.0f s on average over %d trips\n", r.Name, r.MAE, r.Count)
	}
	// Output:
	// 0.1: off by 557 s on average over 40 trips
	// 0.001: off by 737 s on average over 40 trips
}
