package main

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

const anID, anotherID = "01a2152a-0000-7000-8000-000000000001", "01a2152a-0000-7000-8000-000000000002"

// answered is a call from `began` to `ended`. Without a version, its answer tells nothing of the order.
func answered(operation string, began, ended float64, httpStatus, version int, status string) call {
	c := call{Operation: operation, Order: "key", Began: began, Ended: ended, HTTPStatus: httpStatus}
	if version > 0 {
		c.OrderID, c.Version, c.Status = anID, version, status
	}
	return c
}

func refusedCall(operation string, began, ended float64, httpStatus int) call {
	return answered(operation, began, ended, httpStatus, 0, "")
}

// lost is a call that got no answer.
func lost(operation string, began, ended float64) call {
	return call{Operation: operation, Order: "key", Began: began, Ended: ended}
}

func saw(began, ended float64, version int, status string) call {
	return answered(read, began, ended, 200, version, status)
}

func placed(began, ended float64) call {
	return answered(place, began, ended, 201, 1, "PENDING")
}

func of(id string, c call) call {
	c.OrderID = id
	return c
}

func TestWhatTheAPIPermitsIsLinearizable(t *testing.T) {
	for name, h := range map[string]history{
		"from placed to completed": {
			placed(1, 2), saw(3, 4, 1, "PENDING"), saw(5, 6, 2, "PENDING"), saw(7, 8, 3, "CONFIRMED"),
			answered(complete, 9, 10, 200, 4, "COMPLETED"), saw(11, 12, 4, "COMPLETED"),
		},
		"versions that nobody saw are passed": {placed(1, 2), saw(3, 4, 3, "CONFIRMED")},
		"no stock":                            {placed(1, 2), saw(3, 4, 2, "REJECTED"), refusedCall(cancel, 5, 6, 409), refusedCall(complete, 7, 8, 409)},
		"payment declined, and a cancel on the way back": {
			placed(1, 2), saw(3, 4, 3, "PENDING"), answered(cancel, 5, 6, 202, 3, "PENDING"), saw(7, 8, 4, "REJECTED"),
		},
		"a repeated key tells the order as it was accepted": {placed(1, 2), saw(3, 4, 3, "CONFIRMED"), placed(5, 6)},
		"cancelled twice": {
			placed(1, 2), answered(cancel, 3, 4, 202, 2, "CANCELLING"), answered(cancel, 5, 6, 202, 2, "CANCELLING"),
			saw(7, 8, 3, "CANCELLED"), answered(cancel, 9, 10, 200, 3, "CANCELLED"), refusedCall(complete, 11, 12, 409),
		},
		"cancelled after it was confirmed": {
			placed(1, 2), saw(3, 4, 3, "CONFIRMED"), answered(cancel, 5, 6, 202, 4, "CANCELLING"), saw(7, 8, 6, "CANCELLED"),
		},
		"completed twice": {
			placed(1, 2), answered(complete, 3, 4, 200, 4, "COMPLETED"), answered(complete, 5, 6, 200, 4, "COMPLETED"),
			refusedCall(cancel, 7, 8, 409),
		},
		"completed too early":   {placed(1, 2), refusedCall(complete, 3, 4, 409), saw(5, 6, 3, "CONFIRMED")},
		"taken back in time":    {placed(1, 2), saw(3, 4, 3, "CANCELLING"), saw(5, 6, 5, "CANCELLED")},
		"stuck and begun again": {placed(1, 2), saw(3, 4, 2, "CANCELLING"), saw(5, 6, 8, "STUCK"), answered(cancel, 7, 8, 202, 8, "STUCK"), saw(9, 10, 9, "CANCELLING")},
		"reads at the same time see the change or not": {
			placed(1, 2), saw(3, 10, 2, "PENDING"), saw(4, 9, 1, "PENDING"),
		},
		"a cancel and a complete at the same time": {
			placed(1, 2), saw(3, 4, 3, "CONFIRMED"), answered(cancel, 5, 10, 202, 4, "CANCELLING"), refusedCall(complete, 5, 10, 409),
		},
		"a place without an answer was done":         {lost(place, 1, 2), saw(3, 4, 1, "PENDING")},
		"a place without an answer was not done":     {lost(place, 1, 2), refusedCall(read, 3, 4, 404)},
		"a place without an answer is done later":    {lost(place, 1, 2), refusedCall(read, 3, 4, 404), saw(5, 6, 1, "PENDING")},
		"a place is asked for again after a 503":     {refusedCall(place, 1, 2, 503), refusedCall(place, 3, 4, 503), placed(5, 6), saw(7, 8, 1, "PENDING")},
		"a cancel without an answer was done":        {placed(1, 2), saw(3, 4, 3, "CONFIRMED"), lost(cancel, 5, 6), saw(7, 8, 4, "CANCELLING")},
		"a cancel without an answer was not done":    {placed(1, 2), lost(cancel, 3, 4), saw(5, 6, 3, "CONFIRMED")},
		"a cancel without an answer is done later":   {placed(1, 2), lost(cancel, 3, 4), saw(5, 6, 3, "CONFIRMED"), saw(7, 8, 4, "CANCELLING")},
		"a complete without an answer is done later": {placed(1, 2), refusedCall(complete, 3, 4, 503), saw(5, 6, 3, "CONFIRMED"), saw(7, 8, 4, "COMPLETED")},
		"reads without an answer say nothing":        {placed(1, 2), lost(read, 3, 4), refusedCall(read, 3, 4, 503)},
		"a call that never ended":                    {placed(1, 2), lost(cancel, 3, 0), saw(5, 6, 3, "CONFIRMED")},
		"a request that was refused":                 {placed(1, 2), refusedCall(cancel, 3, 4, 400), saw(5, 6, 3, "CONFIRMED")},
	} {
		t.Run(name, func(t *testing.T) {
			if result, unexplained := h.check(time.Minute); result != porcupine.Ok {
				t.Errorf("it is %s because of %+v", result, unexplained)
			}
		})
	}
}

// The last call of each history is the one that is impossible.
func TestWhatTheAPIForbidsIsFound(t *testing.T) {
	for name, h := range map[string]history{
		"an order that was never placed":             {saw(1, 2, 1, "PENDING")},
		"an order before it is placed":               {saw(1, 2, 1, "PENDING"), placed(3, 4)},
		"an acknowledged order that is gone":         {placed(1, 2), refusedCall(read, 3, 4, 404)},
		"a seen order that is gone":                  {lost(place, 1, 2), saw(3, 4, 1, "PENDING"), refusedCall(cancel, 5, 6, 404)},
		"two orders of one key":                      {placed(1, 2), of(anotherID, placed(3, 4))},
		"two orders of one key, one of them seen":    {lost(place, 1, 2), saw(3, 4, 2, "PENDING"), of(anotherID, placed(5, 6))},
		"a key that is said to be another request's": {placed(1, 2), refusedCall(place, 3, 4, 422)},
		"a place that is refused":                    {refusedCall(place, 1, 2, 409)},
		"another order is shown":                     {placed(1, 2), of(anotherID, saw(3, 4, 1, "PENDING"))},
		"a repeated key tells a later version":       {placed(1, 2), answered(place, 3, 4, 201, 3, "CONFIRMED")},
		"a version goes back":                        {placed(1, 2), saw(3, 4, 2, "PENDING"), saw(5, 6, 1, "PENDING")},
		"a version goes back across a cancel":        {placed(1, 2), saw(3, 4, 3, "CONFIRMED"), answered(cancel, 5, 6, 202, 3, "CANCELLING")},
		"a version has two statuses":                 {placed(1, 2), saw(3, 4, 2, "PENDING"), saw(5, 6, 2, "REJECTED")},
		"CONFIRMED before the stock":                 {placed(1, 2), saw(3, 4, 2, "CONFIRMED")},
		"CANCELLED without CANCELLING":               {placed(1, 2), saw(3, 4, 2, "CANCELLED")},
		"CONFIRMED becomes PENDING":                  {placed(1, 2), saw(3, 4, 3, "CONFIRMED"), saw(5, 6, 4, "PENDING")},
		"CONFIRMED becomes REJECTED":                 {placed(1, 2), saw(3, 4, 3, "CONFIRMED"), saw(5, 6, 4, "REJECTED")},
		"REJECTED changes":                           {placed(1, 2), saw(3, 4, 2, "REJECTED"), saw(5, 6, 3, "CANCELLING")},
		"CANCELLED changes":                          {placed(1, 2), saw(3, 4, 3, "CANCELLED"), saw(5, 6, 4, "CONFIRMED")},
		"COMPLETED changes":                          {placed(1, 2), answered(complete, 3, 4, 200, 4, "COMPLETED"), answered(cancel, 5, 6, 202, 5, "CANCELLING")},
		"a final version grows":                      {placed(1, 2), saw(3, 4, 2, "REJECTED"), saw(5, 6, 3, "REJECTED")},
		"an unknown status":                          {placed(1, 2), saw(3, 4, 2, "SHIPPED")},
		"an accepted cancel is lost":                 {placed(1, 2), answered(cancel, 3, 4, 202, 2, "CANCELLING"), saw(5, 6, 3, "CONFIRMED")},
		"an accepted cancel ends REJECTED":           {placed(1, 2), answered(cancel, 3, 4, 202, 2, "CANCELLING"), saw(5, 6, 3, "REJECTED")},
		"a cancel that changes nothing":              {placed(1, 2), answered(cancel, 3, 4, 202, 1, "PENDING")},
		"a cancel leaves CONFIRMED":                  {placed(1, 2), answered(cancel, 3, 4, 202, 3, "CONFIRMED")},
		"a cancel of a REJECTED order":               {placed(1, 2), saw(3, 4, 2, "REJECTED"), answered(cancel, 5, 6, 202, 3, "CANCELLING")},
		"200 to a cancel that goes on":               {placed(1, 2), answered(cancel, 3, 4, 200, 2, "CANCELLING")},
		"202 to a cancel that is over":               {placed(1, 2), saw(3, 4, 3, "CANCELLED"), answered(cancel, 5, 6, 202, 3, "CANCELLED")},
		"a refused cancel of a PENDING order":        {placed(1, 2), refusedCall(cancel, 3, 4, 409), saw(5, 6, 2, "PENDING")},
		"a refused cancel of a CONFIRMED order":      {placed(1, 2), saw(3, 4, 3, "CONFIRMED"), refusedCall(cancel, 5, 6, 409)},
		"a refused cancel of a CANCELLED order":      {placed(1, 2), saw(3, 4, 3, "CANCELLED"), refusedCall(cancel, 5, 6, 409)},
		"a complete of a PENDING order":              {placed(1, 2), answered(complete, 3, 4, 200, 2, "COMPLETED")},
		"a complete that leaves CONFIRMED":           {placed(1, 2), answered(complete, 3, 4, 200, 3, "CONFIRMED")},
		"a complete of a REJECTED order":             {placed(1, 2), saw(3, 4, 2, "REJECTED"), answered(complete, 5, 6, 200, 4, "COMPLETED")},
		"an accepted complete is lost":               {placed(1, 2), answered(complete, 3, 4, 200, 4, "COMPLETED"), saw(5, 6, 3, "CONFIRMED")},
		"a refused complete of a CONFIRMED order":    {placed(1, 2), saw(3, 4, 3, "CONFIRMED"), refusedCall(complete, 5, 6, 409), saw(7, 8, 3, "CONFIRMED")},
		"a refused complete of a COMPLETED order":    {placed(1, 2), answered(complete, 3, 4, 200, 4, "COMPLETED"), refusedCall(complete, 5, 6, 409)},
		"COMPLETED, but nobody asked for it":         {placed(1, 2), saw(3, 4, 4, "COMPLETED")},
		"COMPLETED without CONFIRMED":                {placed(1, 2), lost(complete, 3, 4), saw(5, 6, 3, "COMPLETED")},
		"COMPLETED before it was asked for":          {placed(1, 2), saw(3, 4, 4, "COMPLETED"), lost(complete, 5, 6)},
		"CONFIRMED, and taken back by nobody":        {placed(1, 2), saw(3, 4, 3, "CONFIRMED"), saw(5, 6, 4, "CANCELLING")},
		"one lost cancel is done twice":              {placed(1, 2), lost(cancel, 3, 4), saw(5, 6, 2, "CANCELLING"), saw(7, 8, 3, "CANCELLED"), saw(9, 10, 4, "CANCELLING")},
	} {
		t.Run(name, func(t *testing.T) {
			if result, _ := h.check(time.Minute); result != porcupine.Illegal {
				t.Errorf("it is %s", result)
			}
		})
	}
}

func TestTheCallThatNothingExplainsIsNamed(t *testing.T) {
	stale := saw(5, 6, 1, "PENDING")
	h := history{placed(1, 2), saw(3, 4, 2, "PENDING"), stale, lost(cancel, 5, 6), saw(7, 8, 3, "CONFIRMED")}
	if _, unexplained := h.check(time.Minute); unexplained != stale {
		t.Errorf("it is said to be %+v", unexplained)
	}
}

func TestManyCallsOfUnknownOutcomeAreDecidedSoon(t *testing.T) {
	h := history{}
	for i := 0.0; i < 8; i++ {
		h = append(h, lost(place, i, i+1), lost(cancel, i, i+1), lost(complete, i, i+1))
	}
	h = append(h, saw(20, 21, 3, "CONFIRMED"), saw(22, 23, 6, "CANCELLED"))
	if result, unexplained := h.check(time.Minute); result != porcupine.Ok {
		t.Errorf("it is %s because of %+v", result, unexplained)
	}
	h = append(h, saw(24, 25, 5, "CANCELLING"))
	if result, _ := h.check(time.Minute); result != porcupine.Illegal {
		t.Errorf("it is %s", result)
	}
}
