package redistest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const (
	nodes = 3
	slots = 16384
)

// Cluster is a Redis Cluster of three masters, each with a third of the slots
// and without a replica.
type Cluster struct {
	Nodes []*Server

	buses     []string // the ports on which the nodes talk to one another
	announced []string
	ids       []string // of the nodes, as they call one another
}

// ClusterOptions say how a cluster is started.
type ClusterOptions struct {
	// Announce returns the host:port under which a node is to be told to clients,
	// by the one it listens on: that of a proxy, say. Nil is the same.
	Announce func(addr string) string
	// Args are those of every node, after its own.
	Args []string
}

// StartCluster starts a cluster and returns when every node knows who has which
// slots. Its nodes are killed when the test ends.
func StartCluster(t testing.TB, opts ClusterOptions) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range nodes {
		s := prepare(t)
		announced := s.addr
		if opts.Announce != nil {
			announced = opts.Announce(s.addr)
		}
		host, port, err := net.SplitHostPort(announced)
		if err != nil {
			t.Fatal(err)
		}
		// By default it would be the port and 10,000, which may not be one.
		bus := FreePort(t)
		s.args = append(s.args, "--cluster-enabled", "yes", "--cluster-port", bus,
			"--cluster-announce-ip", host, "--cluster-announce-port", port, "--cluster-announce-bus-port", bus)
		s.args = append(s.args, opts.Args...)
		s.Restart(t)
		c.Nodes, c.buses, c.announced = append(c.Nodes, s), append(c.buses, bus), append(c.announced, announced)
	}
	c.form(t)
	return c
}

// form gives the slots away and makes the nodes know one another.
func (c *Cluster) form(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	for i, s := range c.Nodes {
		client := s.client()
		defer client.Close()
		if err := client.ClusterAddSlotsRange(ctx, i*slots/nodes, (i+1)*slots/nodes-1).Err(); err != nil {
			t.Fatal(err)
		}
		id, err := client.Do(ctx, "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		c.ids = append(c.ids, id)
		first := c.Nodes[0]
		if s == first {
			continue
		}
		host, port, _ := net.SplitHostPort(first.addr)
		// The port of the bus is not the usual one: it has to be said.
		if err := client.Do(ctx, "cluster", "meet", host, port, c.buses[0]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.Await(t)
}

// Await returns when every node takes commands and knows who has which slots.
func (c *Cluster) Await(t testing.TB) {
	t.Helper()
	await(t, "the cluster is whole", func(ctx context.Context) bool {
		for _, s := range c.Nodes {
			client := s.client()
			info, err := client.ClusterInfo(ctx).Result()
			shards, err2 := client.ClusterShards(ctx).Result()
			client.Close()
			if err != nil || err2 != nil || !strings.Contains(info, "cluster_state:ok") {
				return false
			}
			covered, who := 0, map[string]bool{}
			for _, shard := range shards {
				for _, r := range shard.Slots {
					covered += int(r.End - r.Start + 1)
					who[shard.Nodes[0].ID] = true
				}
			}
			if covered != slots || len(who) != nodes {
				return false
			}
		}
		return true
	}, c.Nodes...)
}

// Addrs are where clients find the nodes.
func (c *Cluster) Addrs() []string { return c.announced }

// URL is that of the cluster as registry.Open takes it.
func (c *Cluster) URL() string {
	return "redis://" + c.announced[0] + "?addr=" + strings.Join(c.announced[1:], "&addr=")
}

// Move gives the slot of a key from the node that has it to the next, one key
// after the other, as redis-cli --cluster reshard does: meanwhile clients are
// told ASK and TRYAGAIN, and MOVED afterwards. Nodes must not be killed
// meanwhile. Between is called, if it is not nil, while some of the keys are at
// either node.
func (c *Cluster) Move(ctx context.Context, key string, between func()) error {
	clients := make([]*redis.Client, len(c.Nodes))
	for i, s := range c.Nodes {
		clients[i] = s.client()
		defer clients[i].Close()
	}
	slot, err := clients[0].ClusterKeySlot(ctx, key).Result()
	if err != nil {
		return err
	}
	from, err := c.owner(ctx, clients[0], int(slot))
	if err != nil {
		return err
	}
	to := (from + 1) % len(c.Nodes)
	if err := clients[to].Do(ctx, "cluster", "setslot", slot, "importing", c.ids[from]).Err(); err != nil {
		return err
	}
	if err := clients[from].Do(ctx, "cluster", "setslot", slot, "migrating", c.ids[to]).Err(); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(c.Nodes[to].addr)
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		keys, err := clients[from].ClusterGetKeysInSlot(ctx, int(slot), 1).Result()
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		// KEYS in place of a key: also one that is gone by now is no error.
		if err := clients[from].Do(ctx, "migrate", host, port, "", 0, 5000, "keys", keys[0]).Err(); err != nil {
			return fmt.Errorf("move %s: %w", keys[0], err)
		}
		if first && between != nil {
			between()
		}
	}
	// Whom it goes to first: nobody may find that neither has it.
	for _, i := range []int{to, from, 3 - to - from} {
		if err := clients[i].Do(ctx, "cluster", "setslot", slot, "node", c.ids[to]).Err(); err != nil {
			return err
		}
	}
	return nil
}

// owner is the node that has a slot, as one of them knows it.
func (c *Cluster) owner(ctx context.Context, client *redis.Client, slot int) (int, error) {
	shards, err := client.ClusterShards(ctx).Result()
	if err != nil {
		return 0, err
	}
	for _, shard := range shards {
		for _, r := range shard.Slots {
			if r.Start <= int64(slot) && int64(slot) <= r.End {
				return slices.Index(c.ids, shard.Nodes[0].ID), nil // without replicas there is one
			}
		}
	}
	return 0, fmt.Errorf("no node has the slot %d", slot)
}
