package registry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// DefaultURL is where the Redis is that nobody has named.
const DefaultURL = "redis://localhost:6379"

// Silence drops what the Redis client logs on its own, in the whole process: it
// is for a main, where whoever gets the error of a command tells it.
func Silence() { redis.SetLogger(silence{}) }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// Open returns a client of the Redis at a URL such as redis://user:pass@host:6379/0,
// or rediss:// for TLS. It does not connect yet. Deadlines of contexts hold for
// its commands, and it leaves retries, but for a few, to those who know what to
// do meanwhile.
//
// A URL is that of a Redis Cluster where it has further nodes,
// redis://a:6379?addr=b:6379&addr=c:6379, or says cluster=true because one name
// stands for all of them. As long as one of the nodes answers, the others are
// found. A cluster has no database but 0. Other parameters are those of
// redis.ParseURL and redis.ParseClusterURL, such as pool_size and dial_timeout.
func Open(address string) (redis.UniversalClient, error) {
	single, cluster, err := parseURL(address)
	if err != nil {
		return nil, fmt.Errorf("registry: Redis URL: %w", err)
	}
	if cluster != nil {
		return redis.NewClusterClient(cluster), nil
	}
	return redis.NewClient(single), nil
}

// topologyAge is how far the client's idea of who has which slots may be behind
// the cluster. Servers correct it with MOVED, but one that has died does not.
const topologyAge = 2 * time.Second

// parseURL returns the options of a client of one Redis or of a cluster.
func parseURL(address string) (*redis.Options, *redis.ClusterOptions, error) {
	u, err := url.Parse(address)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // without the URL, which may have a password
		}
		return nil, nil, err
	}
	isCluster, err := takeCluster(u)
	if err != nil {
		return nil, nil, err
	}
	if !isCluster {
		opts, err := redis.ParseURL(u.String())
		if err != nil {
			return nil, nil, err
		}
		opts.ContextTimeoutEnabled = true
		opts.MaxRetries = 1 // of a connection that broke while it was idle
		opts.DialerRetries = 1
		return opts, nil, nil
	}
	if path := strings.Trim(u.Path, "/"); path != "" && path != "0" {
		return nil, nil, fmt.Errorf("a Redis Cluster has no database %.20q", path)
	}
	opts, err := redis.ParseClusterURL(u.String())
	if err != nil {
		return nil, nil, err
	}
	opts.ContextTimeoutEnabled = true
	// It follows MOVED and ASK and tries again while a slot is between two nodes
	// or has no master: by default three times, within less than a second, and
	// whoever commits goes on from there.
	opts.DialerRetries = 1
	opts.ClusterStateReloadInterval = topologyAge
	return nil, opts, nil
}

// takeCluster reports whether a URL is that of a cluster, and takes out of it
// what only says so.
func takeCluster(u *url.URL) (bool, error) {
	query := u.Query()
	more := query.Has("addr")
	if !query.Has("cluster") {
		return more, nil
	}
	is, err := strconv.ParseBool(query.Get("cluster"))
	if err != nil {
		return false, fmt.Errorf("cluster=%.20q is neither true nor false", query.Get("cluster"))
	}
	if more && !is {
		return false, errors.New("cluster=false, but it has further nodes (addr)")
	}
	query.Del("cluster")
	u.RawQuery = query.Encode()
	return is, nil
}

// Ping reports whether Redis answers, as an ErrUnavailable.
func Ping(ctx context.Context, client redis.UniversalClient) error {
	if err := client.Ping(ctx).Err(); err != nil {
		return unavailable("ping", err)
	}
	return nil
}
