-- Numbers can be tried on a page that only saves a card, too: what `purchase_id` names here is the purchase or the card setup
-- on which it was tried, and whose network it is.
ALTER TABLE payment_refused_cards DROP CONSTRAINT payment_refused_cards_purchase;
ALTER TABLE payment_networks DROP CONSTRAINT payment_networks_purchase;
