"""What is owed to a destination: sent, and confirmed only by status 0x0000."""

from node.deliver.sending import Delivery, ObjectDelivery, Outcome, deliver, next_delay_s

__all__ = ["Delivery", "ObjectDelivery", "Outcome", "deliver", "next_delay_s"]
