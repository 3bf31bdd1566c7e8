package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"
)

const (
	place    = "place"
	read     = "read"
	cancel   = "cancel"
	complete = "complete"
)

// call is one request of a client and its answer, as chaos/history.py writes it. A field that is null is zero here.
type call struct {
	Client     int     `json:"client"`
	Operation  string  `json:"operation"`
	Order      string  `json:"order"`
	Began      float64 `json:"began"`
	Ended      float64 `json:"ended"`
	HTTPStatus int     `json:"http_status"`
	OrderID    string  `json:"order_id"`
	Version    int     `json:"version"`
	Status     string  `json:"status"`
}

// known is false when nobody can tell whether the call was done, or will still be done: there was no answer, or one that
// blames the server.
func (c call) known() bool {
	return c.Ended != 0 && c.HTTPStatus != 0 && c.HTTPStatus < 500
}

func (c call) succeeded() bool {
	return c.known() && c.HTTPStatus >= 200 && c.HTTPStatus < 300
}

// refused is true for an answer that says nothing about the order: the request itself was not accepted.
func (c call) refused() bool {
	switch c.HTTPStatus {
	case 404, 409, 422:
		return false
	default:
		return c.known() && !c.succeeded()
	}
}

// interval is the time in which the call was done, in nanoseconds.
func (c call) interval() (int64, int64) {
	if !c.known() {
		return nanoseconds(c.Began), math.MaxInt64
	}
	return nanoseconds(c.Began), nanoseconds(c.Ended)
}

func nanoseconds(seconds float64) int64 {
	return int64(math.Round(seconds * 1e9))
}

func (c call) validate() error {
	switch {
	case c.Order == "":
		return fmt.Errorf("a call has no order")
	case c.Operation != place && c.Operation != read && c.Operation != cancel && c.Operation != complete:
		return fmt.Errorf("%q is not place, read, cancel or complete", c.Operation)
	case c.known() && c.Ended < c.Began:
		return fmt.Errorf("the call ended before it began")
	case c.succeeded() && (c.OrderID == "" || c.Version < 1 || c.Status == ""):
		return fmt.Errorf("an answer %d has no order_id, version or status", c.HTTPStatus)
	}
	return nil
}

// history is the calls of one order, in the order in which they began.
type history []call

// readHistories returns the calls of a file by their order. Orders are sorted by their first call.
func readHistories(lines io.Reader) ([]history, error) {
	byOrder := map[string]history{}
	scanner := bufio.NewScanner(lines)
	for number := 1; scanner.Scan(); number++ {
		var c call
		if err := json.Unmarshal(scanner.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("line %d is not a call: %w", number, err)
		}
		if err := c.validate(); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		byOrder[c.Order] = append(byOrder[c.Order], c)
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	histories := make([]history, 0, len(byOrder))
	for _, calls := range byOrder {
		sort.SliceStable(calls, func(i, j int) bool { return calls[i].Began < calls[j].Began })
		histories = append(histories, calls)
	}
	sort.Slice(histories, func(i, j int) bool {
		a, b := histories[i][0], histories[j][0]
		return a.Began < b.Began || a.Began == b.Began && a.Order < b.Order
	})
	return histories, nil
}

// newest is the highest version that a client was told.
func (h history) newest() int {
	newest := 0
	for _, c := range h {
		newest = max(newest, c.Version)
	}
	return newest
}
