//go:build !race

package onlinetest

const raceEnabled = false
