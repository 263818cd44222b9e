package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/infra"
)

const envRedis = "REDIS_URL"

func prepareModels(o options, getenv func(string) string, out io.Writer) (step, error) {
	address := getenv(envRedis)
	if address == "" {
		address = registry.DefaultURL
	}
	parsed, err := redis.ParseURL(address)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", envRedis, withoutURL(err))}
	}
	catalogue, err := readCatalogue(o.models)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		client, err := registry.Open(address)
		if err != nil {
			return err
		}
		defer client.Close()
		// An error of Ping is one of the connection, later ones are of the catalogue.
		if err := registry.Ping(ctx, client); err != nil {
			return explainRedis(parsed.Addr, err)
		}
		if err := registry.Apply(ctx, client, catalogue); err != nil {
			return fmt.Errorf("models in Redis at %s: %w", parsed.Addr, err)
		}
		fmt.Fprintf(out, "models: %d, champion %s, in Redis at %s\n", len(catalogue.Models), catalogue.Champion, parsed.Addr)
		return nil
	}, nil
}

func readCatalogue(file string) (*online.Catalogue, error) {
	data := infra.Models()
	if file != "" {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("the catalogue: %w", err)
		}
	} else {
		file = "infra/models.yaml"
	}
	catalogue, err := online.ParseCatalogue(data, kinds.All())
	if err != nil {
		return nil, fmt.Errorf("%s:\n%w", file, err)
	}
	return catalogue, nil
}

// withoutURL drops the URL, and with it the password, from an error about it.
func withoutURL(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		return inURL.Err
	}
	return err
}

// explainRedis makes one line of why Redis does not answer.
func explainRedis(address string, err error) error {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return notYet{"Redis", unreachable("redis", address, err)}
	}
	switch code, _, _ := strings.Cut(answer.Error(), " "); code {
	case "NOAUTH":
		return fmt.Errorf("redis: %s wants a password: %s would be redis://:PASSWORD@HOST:PORT (%s)", address, envRedis, answer)
	case "WRONGPASS":
		return fmt.Errorf("redis: %s refuses the user or the password of %s (%s)", address, envRedis, answer)
	case "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN":
		return notYet{"Redis", fmt.Errorf("redis: %s is not ready: %s", address, answer)}
	}
	return fmt.Errorf("redis: %s refuses the connection: %s", address, answer)
}

// unreachable is a server that did not answer, in one line.
func unreachable(server, address string, err error) error {
	var dial *net.OpError
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup):
		return fmt.Errorf("%s: nobody listens at %s: %w", server, address, lookup)
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("%s: nobody listens at %s: %w", server, address, dial.Err)
	}
	return fmt.Errorf("%s: what listens at %s does not answer as it should: %s", server, address, strings.Join(strings.Fields(err.Error()), " "))
}
