package main

import (
	"context"
	"errors"
)

func replayCommand(ctx context.Context, in invocation) error { return errors.ErrUnsupported }
