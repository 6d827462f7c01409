"""What the tests of bridges share: services that stand in for those outside, and nodes with bridges to them."""
